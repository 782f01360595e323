"""Frozen encoders: an image in, a feature map out."""

from typing import Any

from bundle.encoders.base import FrozenEncoder
from bundle.encoders.catalogue import CATALOGUE, EncoderSettings
from bundle.encoders.xfeat import XFeatEncoder
from bundle.errors import EncoderError
from bundle.records.validation import validate


def create_encoder(*, weights: str = "hub", **settings: Any) -> FrozenEncoder:
    """Build a frozen encoder.

    Args:
        settings: those of :class:`EncoderSettings`.
        weights: where a vision transformer's weights come from: ``"hub"``, ``"package"``, ``"random"``, or a local
            file or folder; XFeat's always come with its package.

    Raises:
        EncoderError: when the encoder is unknown or its weights cannot be had.
        ConfigError: when a setting is not known or out of range.
    """
    resolved = validate(EncoderSettings, settings, "encoder").resolved()
    if resolved["name"] == "xfeat" and weights not in ("hub", "package", "random"):
        raise EncoderError(
            f"encoder_weights is {weights!r}, but the weights of xfeat come with its package: leave encoder_weights "
            "out, or name the encoder that they are of."
        )
    if resolved["name"] == "xfeat":
        return XFeatEncoder()
    from bundle.encoders.vit import TimmVitEncoder  # timm takes most of a second

    return TimmVitEncoder(**resolved, weights=weights)
