"""A study: a folder of radiographs, their annotations, what the model proposes, and what changed when."""

from study.annotations import DRAFT, FINAL, ORIGINAL, AnnotatedImage, Mark
from study.folder import NoSuchImage, NotReplaced, Study
from study.protocol import Landmark, Protocol

__all__ = [
    "DRAFT",
    "FINAL",
    "ORIGINAL",
    "AnnotatedImage",
    "Landmark",
    "Mark",
    "NoSuchImage",
    "NotReplaced",
    "Protocol",
    "Study",
]
