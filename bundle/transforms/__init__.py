"""Transforms: files to images, pixels to millimetres."""

from bundle.transforms.load_radiograph import LoadRadiograph, LoadRadiographd
from bundle.transforms.millimetres import PointsInMillimetresd, ReferenceLength

__all__ = ["LoadRadiograph", "LoadRadiographd", "PointsInMillimetresd", "ReferenceLength"]
