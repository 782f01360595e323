"""The encoders with a short name: the table is true, the users' copy of it is the same, and each of them runs."""

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from bundle.encoders import CATALOGUE, EncoderSettings, create_encoder
from bundle.encoders.catalogue import card_of, title
from bundle.errors import EncoderError
from tests.reference.encoder import FACETS, facet_maps
from tests.reference.models import seeded_model, shallow_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"

#: What the projects themselves say, for grey values from 0 to 1.
NORMALISATION = {
    "dino": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "dinov3": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "sam": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 / 255
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "mae": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "vit": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}

NARROW = {"depth": 2, "embed_dim": 24, "num_heads": 2}


def positions_of(name: str) -> str:
    """How timm's transformer knows where a patch lies."""
    model: Any = seeded_model(CATALOGUE[name].timm_name, seed=0, **NARROW)
    if hasattr(model.blocks[0].attn, "rel_pos_h"):
        return "relative"
    return "absolute" if getattr(model, "rope", None) is None else "rotary"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm makes transformers of two narrow blocks."""
    monkeypatch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, **{**options, **NARROW}))


def test_the_names() -> None:
    assert list(CATALOGUE) == [
        *("dino_vits8", "dino_vits16", "dino_vitb8", "dino_vitb16"),
        *("dinov2_vits14", "dinov2_vitb14", "dinov2_vits14_reg", "dinov2_vitb14_reg"),
        *("dinov3_vits16", "dinov3_vitb16", "sam_vitb16", "clip_vitb16", "mae_vitb16", "vit_s16", "vit_b16"),
    ]
    assert not any(timm.is_model(name) for name in CATALOGUE), "a short name would hide a model of timm"
    assert len({card.timm_name for card in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_card_says_what_timm_and_the_projects_say(name: str) -> None:
    card = CATALOGUE[name]
    config = timm.models.get_pretrained_cfg(card.timm_name)
    assert config is not None and config.hf_hub_id
    assert (config.mean, config.std) == NORMALISATION[name.split("_")[0]]
    assert card_of(card.timm_name) is card
    assert title(card.timm_name) == f"{card.timm_name} ({name})"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_facet_at_odd_sizes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the true width; one block is enough for shapes."""
    card = CATALOGUE[name]
    patch, (mean, std) = card.patch, NORMALISATION[name.split("_")[0]]
    original: Any = seeded_model(card.timm_name, seed=0, depth=1)
    channels = original.embed_dim
    monkeypatch.setattr(timm, "create_model", lambda _name, **_options: copy.deepcopy(original))
    sizes = [(patch, patch), (patch + 1, 2 * patch - 1), (61, 43)]
    seen = []
    for facet in (*FACETS, "token"):
        encoder = create_encoder(name=name, weights="random", block=0, facet=facet)
        assert (encoder.channels, encoder.stride, encoder.minimum_side) == (channels, card.stride, patch)
        assert torch.equal(encoder.mean.flatten(), torch.tensor(mean))
        assert torch.equal(encoder.std.flatten(), torch.tensor(std))
        generator = torch.Generator().manual_seed(0)
        for height, width in sizes:
            features = encoder(torch.rand(2, 1, height, width, generator=generator))
            rows, columns = (1 + (side - patch) // card.stride for side in (height, width))
            assert features.shape == (2, channels, rows, columns)
            assert features.isfinite().all()
        seen.append(features)
    assert not any(torch.allclose(one, other) for index, one in enumerate(seen) for other in seen[:index])


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_stride_up_to_the_patch(name: str, narrow: None) -> None:
    patch = CATALOGUE[name].patch
    image = torch.rand(1, 1, 67, 53)
    for stride in (1, 3, patch // 2, patch - 1, patch, None):
        features = create_encoder(name=name, weights="random", block=1, facet="token", stride=stride)(
            image[..., :40, :]
        )
        step = stride or patch
        assert features.shape == (1, 24, 1 + (40 - patch) // step, 1 + (53 - patch) // step)
        assert features.isfinite().all()
    with pytest.raises(EncoderError, match=f"stride is {patch + 1}, expected 1 to {patch}"):
        create_encoder(name=name, weights="random", block=1, stride=patch + 1)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if positions_of(name) == "absolute"])
def test_the_default_is_the_literal_reading(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stride and normalisation of the card, in the reference's loops."""
    card = CATALOGUE[name]
    original = seeded_model(card.timm_name, seed=3, **NARROW)
    monkeypatch.setattr(timm, "create_model", lambda timm_name, **options: seeded_model(timm_name, seed=3, **NARROW))
    grey = torch.rand(45, 38, generator=torch.Generator().manual_seed(1))
    mean, std = NORMALISATION[name.split("_")[0]]
    expected = facet_maps(original, grey, stride=card.stride, block=1, mean=mean, std=std)
    for facet in (*FACETS, "token"):
        found = create_encoder(name=name, weights="random", block=1, facet=facet)(grey[None, None])[0]
        torch.testing.assert_close(found, expected[facet], rtol=1e-4, atol=1e-4 * expected[facet].abs().max().item())


def test_clip_has_the_activation_that_it_was_trained_with() -> None:
    """x * sigmoid(1.702 x), which differs from GELU by up to 0.02."""
    act = seeded_model(CATALOGUE["clip_vitb16"].timm_name, seed=0, **NARROW).blocks[0].mlp.act
    x = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(act(x), x * torch.sigmoid(1.702 * x))


def resolved(**settings: Any) -> dict[str, Any]:
    return EncoderSettings(**settings).resolved()


class TestNames:
    def test_the_papers_encoder_by_its_short_name(self, narrow: None) -> None:
        timm_name = "vit_small_patch8_224.dino"
        short, long = (create_encoder(name=name, weights="random", block=1) for name in ("dino_vits8", timm_name))
        assert short.spec == long.spec == {"name": timm_name, "facet": "key", "block": 1, "stride": 4}
        assert short.digest == long.digest

    def test_names_resolve_to_the_settings_in_full(self) -> None:
        full = {"name": "vit_small_patch8_224.dino", "facet": "key", "block": 8, "stride": 4, "seed": 0}
        assert resolved(name="dino_vits8") == resolved(name="vit_small_patch8_224.dino") == full
        assert resolved(name="xfeat") == {"name": "xfeat"}
        assert resolved(name="dino_vits8", stride=8, facet="token") == {**full, "stride": 8, "facet": "token"}
        assert resolved(**full) == full

    def test_the_default_of_a_timm_name_stays_at_four_pixels(self) -> None:
        """Checkpoints that say nothing about the stride were made with it."""
        assert resolved(name="vit_base_patch16_224.mae")["stride"] == 4
        assert resolved(name="mae_vitb16")["stride"] == 8
        assert resolved(name="sam_vitb16")["stride"] == 16

    def test_a_short_name_with_a_slip_is_met_with_near_ones(self) -> None:
        with pytest.raises(EncoderError, match=r"'dinov2_vits16' is neither .*; near names: .*dinov2_vits14"):
            create_encoder(name="dinov2_vits16", weights="random")


class TestDocument:
    """The user's copy of the table."""

    def rows(self, heading: str) -> list[list[str]]:
        lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
        start = lines.index(next(line for line in lines if line.startswith(f"| {heading} |"))) + 2
        table = []
        for line in lines[start:]:
            if not line.startswith("|"):
                break
            table.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        return table

    def test_the_encoders(self) -> None:
        expected = []
        for name, card in CATALOGUE.items():
            config: Any = timm.models.get_pretrained_cfg(card.timm_name)
            with torch.device("meta"):
                channels = timm.create_model(card.timm_name).embed_dim
            numbers = (card.patch, card.stride, EncoderSettings(name=name).block, channels, config.input_size[1])
            expected.append([name, card.timm_name, card.family, *map(str, numbers)])
        assert self.rows("Short name") == expected

    def test_the_families(self) -> None:
        first = {card.family: name for name, card in reversed(CATALOGUE.items())}
        families = dict.fromkeys(card.family for card in CATALOGUE.values())
        expected = [[family, positions_of(first[family])] for family in families]
        assert [row[:2] for row in self.rows("Family")] == expected
