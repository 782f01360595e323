"""Frozen encoders: an image in, a feature map out."""

from bundle.networks.encoders.base import FrozenEncoder
from bundle.networks.encoders.catalogue import CATALOGUE, EncoderCard
from bundle.networks.encoders.registry import create_encoder, resolve_encoder
from bundle.networks.encoders.vit import TimmVitEncoder
from bundle.networks.encoders.xfeat import XFeatEncoder

__all__ = [
    "CATALOGUE",
    "EncoderCard",
    "FrozenEncoder",
    "TimmVitEncoder",
    "XFeatEncoder",
    "create_encoder",
    "resolve_encoder",
]
