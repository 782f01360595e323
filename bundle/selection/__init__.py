"""Selection: which image of a folder is the best one to annotate."""

from bundle.selection.describe import describe_images, whiten_together
from bundle.selection.typical import mean_deformation

__all__ = ["describe_images", "mean_deformation", "whiten_together"]
