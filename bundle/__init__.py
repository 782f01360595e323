"""One-Shot Landmarks: anatomical landmarks on radiographs from one annotated template image."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bundle.finder import Evaluation, FoundLandmarks, LandmarkFinder, evaluate, save_all

__all__ = ["Evaluation", "FoundLandmarks", "LandmarkFinder", "evaluate", "save_all"]

__version__ = "0.2.0"

#: The name under which results say what made them.
PRODUCT = "One-Shot Landmarks"

_PACKAGE = Path(__file__).resolve().parent

#: The configurations: in the package where it is installed, beside it in a bundle.
CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"


def __getattr__(name: str) -> Any:
    """What finds landmarks, imported when it is asked for (PEP 562): half of the rooms do without PyTorch."""
    if name in __all__:
        return getattr(import_module("bundle.finder"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
