"""Encoders by name."""

from __future__ import annotations

import inspect
from typing import Any

from bundle.encoders.base import FrozenEncoder
from bundle.encoders.catalogue import CATALOGUE
from bundle.encoders.vit import TimmVitEncoder
from bundle.encoders.xfeat import XFeatEncoder
from bundle.records.errors import ConfigError


def create_encoder(*, name: str, weights: str = "hub", **settings: Any) -> FrozenEncoder:
    """Build a frozen encoder.

    Args:
        name: ``"xfeat"``, a short name of :mod:`bundle.encoders.catalogue`, or the timm name of a vision
            transformer.
        weights: where a vision transformer's weights come from: ``"hub"``, ``"random"``, or a local file or folder;
            XFeat's always come with its package.
        settings: further arguments of :class:`bundle.encoders.vit.TimmVitEncoder`; none for XFeat. What is
            not given has the default of the catalogue for a short name, of the class for a timm name.

    Raises:
        EncoderError: when the encoder is unknown or its weights cannot be had.
        ConfigError: when it is given a setting that it does not have.
    """
    resolved = resolve_encoder(name=name, **settings)
    return XFeatEncoder() if resolved["name"] == "xfeat" else TimmVitEncoder(**resolved, weights=weights)


def resolve_encoder(*, name: str, **settings: Any) -> dict[str, Any]:
    """The settings of an encoder in full: timm's name in place of a short one, and every default written out.

    Two configurations mean the same encoder if they resolve to the same settings.

    Args:
        name: see :func:`create_encoder`.
        settings: see :func:`create_encoder`.

    Raises:
        ConfigError: when the encoder is given a setting that it does not have.
    """
    if name == "xfeat":
        if settings:
            raise ConfigError(f"the encoder xfeat takes no settings, but {', '.join(sorted(settings))} was given.")
        return {"name": name}
    parameters = inspect.signature(TimmVitEncoder).parameters
    defaults = {key: parameters[key].default for key in parameters if key not in ("name", "weights")}
    unknown = sorted(set(settings) - set(defaults))
    if unknown:
        raise ConfigError(
            f"the encoder {name} has no setting {', '.join(unknown)}; known are {', '.join(sorted(defaults))}."
        )
    if name in CATALOGUE:
        card = CATALOGUE[name]
        return {"name": card.timm_name, **defaults, **card.defaults, **settings}
    return {"name": name, **defaults, **settings}
