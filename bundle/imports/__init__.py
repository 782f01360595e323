"""Models that other programs trained, turned into checkpoints of this project."""

from bundle.imports.fmosd import import_fmosd
from bundle.imports.preset import read_preset

__all__ = ["import_fmosd", "read_preset"]
