"""The encoders by name, and their settings; the vision transformers that have a short name.

The families are those that the paper compares (section 3 and figure 4), and DINOv3. Any other transformer of timm can
be had by timm's own name; it just has no entry here. ``docs/configuration.md`` shows this table to users.
"""

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from bundle.errors import ConfigError
from bundle.records.validation import Validated

#: Encoders of one training, and what Hugging Face's ``config.json`` calls a model of it.
FAMILIES = {
    "DINO": ("vit",),
    "DINOv2": ("dinov2", "dinov2_with_registers"),
    "DINOv3": ("dinov3_vit",),
    "SAM": ("sam", "sam_vision_model"),
    "CLIP": ("clip", "clip_vision_model"),
    "MAE": ("vit_mae",),
    "supervised ViT": ("vit",),
}


class EncoderCard(NamedTuple):
    """One encoder of the catalogue: timm's name of model and weights, its family, and the side of a patch in pixels."""

    timm_name: str
    family: str
    patch: int

    @property
    def stride(self) -> int:
        """Pixels from one patch to the next, where the user says nothing.

        Half the patch, as in the paper, which has 4 for patches of 8. SAM keeps the patch: its attention looks at
        windows that are counted in cells, so that at a smaller stride they cover fewer pixels than in its training.
        """
        return self.patch if self.family == "SAM" else self.patch // 2


#: All cards by their short names, in the order in which users see them. All have twelve blocks.
CATALOGUE = {
    "dino_vits8": EncoderCard("vit_small_patch8_224.dino", "DINO", 8),
    "dino_vits16": EncoderCard("vit_small_patch16_224.dino", "DINO", 16),
    "dino_vitb8": EncoderCard("vit_base_patch8_224.dino", "DINO", 8),
    "dino_vitb16": EncoderCard("vit_base_patch16_224.dino", "DINO", 16),
    "dinov2_vits14": EncoderCard("vit_small_patch14_dinov2.lvd142m", "DINOv2", 14),
    "dinov2_vitb14": EncoderCard("vit_base_patch14_dinov2.lvd142m", "DINOv2", 14),
    "dinov2_vits14_reg": EncoderCard("vit_small_patch14_reg4_dinov2.lvd142m", "DINOv2", 14),
    "dinov2_vitb14_reg": EncoderCard("vit_base_patch14_reg4_dinov2.lvd142m", "DINOv2", 14),
    "dinov3_vits16": EncoderCard("vit_small_patch16_dinov3.lvd1689m", "DINOv3", 16),
    "dinov3_vitb16": EncoderCard("vit_base_patch16_dinov3.lvd1689m", "DINOv3", 16),
    "sam_vitb16": EncoderCard("samvit_base_patch16.sa1b", "SAM", 16),
    # OpenAI trained with the quick approximation of GELU, which timm's plain ..._clip_224 does not have.
    "clip_vitb16": EncoderCard("vit_base_patch16_clip_quickgelu_224.openai", "CLIP", 16),
    "mae_vitb16": EncoderCard("vit_base_patch16_224.mae", "MAE", 16),
    "vit_s16": EncoderCard("vit_small_patch16_224.augreg_in21k_ft_in1k", "supervised ViT", 16),
    "vit_b16": EncoderCard("vit_base_patch16_224.augreg_in21k_ft_in1k", "supervised ViT", 16),
}


def card_of(timm_name: str) -> EncoderCard | None:
    """The card of a model that is given by timm's name; None where the catalogue does not have it."""
    return next((card for card in CATALOGUE.values() if card.timm_name == timm_name), None)


def title(timm_name: str) -> str:
    """How a message names an encoder: by timm's name, with the short name where there is one."""
    short = next((name for name, card in CATALOGUE.items() if card.timm_name == timm_name), None)
    return timm_name if short is None else f"{timm_name} ({short})"


class EncoderSettings(Validated):
    """Which encoder, and how it is read out.

    A stride that is not given is that of the catalogue for a short name, else the one here.

    Attributes:
        name: ``"xfeat"``, which takes no settings, a short name of :data:`CATALOGUE`, or the timm name
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
