"""The vision transformers that have a short name: what they are, and with which settings they are used.

The families are those that the paper compares (section 3 and figure 4), and DINOv3. Any other transformer of timm can
be had by timm's own name; it just has no entry here. ``docs/encoders.md`` shows this table to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
HALF: Triple = (0.5, 0.5, 0.5)

#: The ninth block, counted from 0 (paper, section 3).
NINTH_BLOCK = 8


@dataclass(frozen=True)
class Family:
    """What the members of one family share.

    Attributes:
        name: the family's name, as error messages say it.
        mean: mean of the three channels with which the weights were trained, for grey values from 0 to 1.
        std: standard deviation of the three channels.
        positions: how the transformer knows where a patch lies: ``"absolute"``, ``"relative"`` or ``"rotary"``.
        model_types: what Hugging Face's ``config.json`` calls a model of this family.
        project: whose official weights these are.
        licence: licence of the weights.
        citation: the publication.
    """

    name: str
    mean: Triple
    std: Triple
    positions: str
    model_types: tuple[str, ...]
    project: str
    licence: str
    citation: str


DINO = Family(
    name="DINO",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    positions="absolute",
    model_types=("vit",),
    project="facebookresearch/dino",
    licence="Apache-2.0",
    citation="Caron et al., ICCV 2021",
)
DINOV2 = Family(
    name="DINOv2",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    positions="absolute",
    model_types=("dinov2", "dinov2_with_registers"),
    project="facebookresearch/dinov2",
    licence="Apache-2.0",
    citation="Oquab et al., TMLR 2024; registers: Darcet et al., ICLR 2024",
)
DINOV3 = Family(
    name="DINOv3",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    positions="rotary",
    model_types=("dinov3_vit",),
    project="facebookresearch/dinov3",
    licence="DINOv3 License",
    citation="Siméoni et al., arXiv:2508.10104, 2025",
)
SAM = Family(
    name="SAM",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    positions="relative",
    model_types=("sam", "sam_vision_model"),
    project="facebookresearch/segment-anything",
    licence="Apache-2.0",
    citation="Kirillov et al., ICCV 2023",
)
CLIP = Family(
    name="CLIP",
    mean=CLIP_MEAN,
    std=CLIP_STD,
    positions="absolute",
    model_types=("clip", "clip_vision_model"),
    project="openai/CLIP",
    licence="MIT",
    citation="Radford et al., ICML 2021",
)
MAE = Family(
    name="MAE",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    positions="absolute",
    model_types=("vit_mae",),
    project="facebookresearch/mae",
    licence="CC-BY-NC-4.0",
    citation="He et al., CVPR 2022",
)
SUPERVISED = Family(
    name="supervised ViT",
    mean=HALF,
    std=HALF,
    positions="absolute",
    model_types=("vit",),
    project="google-research/vision_transformer",
    licence="Apache-2.0",
    citation="Dosovitskiy et al., ICLR 2021; Steiner et al., TMLR 2022",
)


@dataclass(frozen=True)
class EncoderCard:
    """One encoder of the catalogue.

    Its feature map has ``1 + (side - patch) // stride`` cells along a side of the image.

    Attributes:
        timm_name: timm's name of the model and its weights.
        family: what it shares with others.
        patch: side of a patch in pixels; an image needs at least this on each side.
        stride: pixels from one patch to the next, where the user says nothing. Half the patch, as in the paper, which
            has 4 for patches of 8. SAM keeps the patch: its attention looks at windows that are counted in cells, so
            that at a smaller stride they cover fewer pixels than in its training.
        channels: channels of the feature map.
        training_side: side in pixels of the images of its training.
        block: block that is read, where the user says nothing, counted from 0.
    """

    timm_name: str
    family: Family
    patch: int
    stride: int
    channels: int
    training_side: int
    block: int = NINTH_BLOCK

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings of the encoder where the user gives none."""
        return {"facet": "key", "block": self.block, "stride": self.stride}


class CataloguedEncoder(Enum):
    """The encoders with a short name: the member's name in lower case. All have twelve blocks."""

    DINO_VITS8 = EncoderCard("vit_small_patch8_224.dino", DINO, 8, 4, 384, 224)
    DINO_VITS16 = EncoderCard("vit_small_patch16_224.dino", DINO, 16, 8, 384, 224)
    DINO_VITB8 = EncoderCard("vit_base_patch8_224.dino", DINO, 8, 4, 768, 224)
    DINO_VITB16 = EncoderCard("vit_base_patch16_224.dino", DINO, 16, 8, 768, 224)
    DINOV2_VITS14 = EncoderCard("vit_small_patch14_dinov2.lvd142m", DINOV2, 14, 7, 384, 518)
    DINOV2_VITB14 = EncoderCard("vit_base_patch14_dinov2.lvd142m", DINOV2, 14, 7, 768, 518)
    DINOV2_VITS14_REG = EncoderCard("vit_small_patch14_reg4_dinov2.lvd142m", DINOV2, 14, 7, 384, 518)
    DINOV2_VITB14_REG = EncoderCard("vit_base_patch14_reg4_dinov2.lvd142m", DINOV2, 14, 7, 768, 518)
    DINOV3_VITS16 = EncoderCard("vit_small_patch16_dinov3.lvd1689m", DINOV3, 16, 8, 384, 256)
    DINOV3_VITB16 = EncoderCard("vit_base_patch16_dinov3.lvd1689m", DINOV3, 16, 8, 768, 256)
    SAM_VITB16 = EncoderCard("samvit_base_patch16.sa1b", SAM, 16, 16, 768, 1024)
    # OpenAI trained with the quick approximation of GELU, which timm's plain ..._clip_224 does not have.
    CLIP_VITB16 = EncoderCard("vit_base_patch16_clip_quickgelu_224.openai", CLIP, 16, 8, 768, 224)
    MAE_VITB16 = EncoderCard("vit_base_patch16_224.mae", MAE, 16, 8, 768, 224)
    VIT_S16 = EncoderCard("vit_small_patch16_224.augreg_in21k_ft_in1k", SUPERVISED, 16, 8, 384, 224)
    VIT_B16 = EncoderCard("vit_base_patch16_224.augreg_in21k_ft_in1k", SUPERVISED, 16, 8, 768, 224)

    @property
    def short_name(self) -> str:
        """The name to write in a configuration."""
        return self.name.lower()


#: All cards by their short names, in the order of the catalogue.
CATALOGUE: dict[str, EncoderCard] = {member.short_name: member.value for member in CataloguedEncoder}


def card_of(timm_name: str) -> EncoderCard | None:
    """The card of a model that is given by timm's name; None where the catalogue does not have it."""
    return next((card for card in CATALOGUE.values() if card.timm_name == timm_name), None)


def title(timm_name: str) -> str:
    """How a message names an encoder: by timm's name, with the short name where there is one."""
    short = next((name for name, card in CATALOGUE.items() if card.timm_name == timm_name), None)
    return timm_name if short is None else f"{timm_name} ({short})"
