"""One-Shot Landmarks: anatomical landmarks on radiographs from one annotated template image."""

__version__ = "0.2.0"
