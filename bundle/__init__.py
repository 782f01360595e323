"""One-Shot Landmarks: anatomical landmarks on radiographs from one annotated template image."""

__version__ = "0.2.0"

#: The name under which results say what made them.
PRODUCT = "One-Shot Landmarks"
