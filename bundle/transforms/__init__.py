"""Transforms: files to images, pixels to millimetres."""

from bundle.transforms.load_radiograph import LoadRadiograph, LoadRadiographd
from bundle.transforms.millimetres import PointsInMillimetresd, ReferenceLength, read_reference_length

__all__ = ["LoadRadiograph", "LoadRadiographd", "PointsInMillimetresd", "ReferenceLength", "read_reference_length"]
