"""Encoders by name."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bundle.encoders.base import FrozenEncoder
from bundle.encoders.catalogue import CATALOGUE
from bundle.encoders.xfeat import XFeatEncoder
from bundle.errors import ConfigError, EncoderError
from bundle.records.validation import Validated, validate


class EncoderSettings(Validated):
    """Which encoder, and how it is read out.

    A stride that is not given is that of the catalogue for a short name, else the one here.

    Attributes:
        name: ``"xfeat"``, which takes no settings, a short name of :mod:`bundle.encoders.catalogue`, or the timm name
            of a vision transformer.
        facet: see :class:`bundle.encoders.vit.TimmVitEncoder`, as for the others.
        block: 0-based index of the block that is read; the ninth in the paper (section 3).
        stride: pixels from one patch to the next; None keeps the patch size.
        seed: seed of random weights.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    facet: Literal["key", "query", "value", "token"] = "key"
    block: Annotated[int, Field(ge=0)] = 8
    stride: Annotated[int, Field(ge=1)] | None = 4
    seed: int = 0

    @model_validator(mode="after")
    def _xfeat_has_none(self) -> Self:
        if surplus := sorted(self.model_fields_set - {"name"} if self.name == "xfeat" else ()):
            raise ConfigError(f"xfeat takes no settings, but {', '.join(surplus)} was given.")
        return self

    def resolved(self) -> dict[str, Any]:
        """The settings in full: timm's name in place of a short one, and every default written out.

        Two configurations mean the same encoder if they resolve to the same settings.
        """
        if self.name == "xfeat":
            return {"name": self.name}
        settings = self.model_dump()
        if card := CATALOGUE.get(self.name):
            settings["name"] = card.timm_name
            settings["stride"] = self.stride if "stride" in self.model_fields_set else card.stride
        return settings


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
