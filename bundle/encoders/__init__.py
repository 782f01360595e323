"""Frozen encoders: an image in, a feature map out."""

from bundle.encoders.base import FrozenEncoder
from bundle.encoders.catalogue import CATALOGUE, EncoderCard
from bundle.encoders.registry import EncoderSettings, create_encoder
from bundle.encoders.xfeat import XFeatEncoder

__all__ = [
    "CATALOGUE",
    "EncoderCard",
    "EncoderSettings",
    "FrozenEncoder",
    "XFeatEncoder",
    "create_encoder",
]
