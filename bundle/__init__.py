"""One-Shot Landmarks: anatomical landmarks on radiographs from one annotated template image."""

from pathlib import Path

__version__ = "0.2.0"

#: The name under which results say what made them.
PRODUCT = "One-Shot Landmarks"

_PACKAGE = Path(__file__).resolve().parent

#: The configurations: in the package where it is installed, beside it in a bundle.
CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
