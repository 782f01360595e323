"""Encoders by name."""

from __future__ import annotations

import inspect
from typing import Any

from bundle.errors import ConfigError
from bundle.networks.encoders.base import FrozenEncoder
from bundle.networks.encoders.vit import TimmVitEncoder
from bundle.networks.encoders.xfeat import XFeatEncoder


def create_encoder(*, name: str, weights: str = "hub", **settings: Any) -> FrozenEncoder:
    """Build a frozen encoder.

    Args:
        name: ``"xfeat"``, or the timm name of a vision transformer.
        weights: where a vision transformer's weights come from: ``"hub"``, ``"random"`` or a local file;
            XFeat's always come with its package.
        settings: further arguments of :class:`bundle.networks.encoders.vit.TimmVitEncoder`; none for XFeat.

    Raises:
        EncoderError: when the encoder is unknown or its weights cannot be had.
        ConfigError: when it is given a setting that it does not have.
    """
    if name != "xfeat":
        known = set(inspect.signature(TimmVitEncoder).parameters) - {"name", "weights"}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ConfigError(
                f"the encoder {name} has no setting {', '.join(unknown)}; known are {', '.join(sorted(known))}."
            )
        return TimmVitEncoder(name, weights=weights, **settings)
    if settings:
        raise ConfigError(f"the encoder xfeat takes no settings, but {', '.join(sorted(settings))} was given.")
    return XFeatEncoder()
