"""Which images a run works on, and how they reach the engine."""

from bundle.data.cases import Cases, collect_cases, collect_labelled_cases
from bundle.data.dry_run import DryRun
from bundle.data.journal import Journal
from bundle.data.readable import Failures, ReadableImages
from bundle.data.warps import ClampIntensityd, WarpedTemplate

__all__ = [
    "Cases",
    "ClampIntensityd",
    "DryRun",
    "Failures",
    "Journal",
    "ReadableImages",
    "WarpedTemplate",
    "collect_cases",
    "collect_labelled_cases",
]
