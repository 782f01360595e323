"""Selection: which image of a folder is the best one to annotate."""

from bundle.selection.typical import deformation_of_each, describe_images, mean_deformation, whiten_together

__all__ = ["deformation_of_each", "describe_images", "mean_deformation", "whiten_together"]
