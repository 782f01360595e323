"""Selection: which image of a folder is the best one to annotate, and which next."""

from bundle.selection.coverage import coverage_gains, rank_by_coverage
from bundle.selection.typical import deformation_of_each, describe_images, mean_deformation, whiten_together

__all__ = [
    "coverage_gains",
    "deformation_of_each",
    "describe_images",
    "mean_deformation",
    "rank_by_coverage",
    "whiten_together",
]
