"""Weights of local files: whatever project named them, the encoder is the same; what does not fit is refused."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from bundle.encoders import CATALOGUE, FrozenEncoder, create_encoder, weight_files, xfeat
from bundle.encoders.weight_files import find_weights, load_weights_only
from bundle.errors import CheckpointError, EncoderError
from bundle.model.checkpoint import read_checkpoint
from tests.reference import foreign_weights as foreign
from tests.reference.foreign_weights import FILES, NAMES_OF_A_BLOCK, NAMES_OUTSIDE
from tests.reference.models import seeded_model, shallow_model

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 2}
QKVB = "vit_small_patch16_dinov3_qkvb.lvd1689m"


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm makes transformers of two narrow blocks."""
    monkeypatch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, **{**options, **SMALL}))


def model_of(name: str, seed: int = 5) -> Any:
    card = CATALOGUE.get(name)
    sizes = {key: SMALL[key] for key in ("embed_dim", "num_heads")}
    return seeded_model(card.timm_name if card else name, seed, SMALL["depth"], **sizes)


def state_of(name: str, seed: int = 5) -> dict[str, Tensor]:
    return dict(model_of(name, seed).state_dict())


def encoder(name: str, weights: Path | str, **settings: Any) -> FrozenEncoder:
    return create_encoder(**{"name": name, "weights": str(weights), "block": 1, "facet": "token", **settings})


def saved(content: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def refusal(name: str, weights: Path | str, **settings: Any) -> str:
    """The one sentence with which the encoder refuses the file, which names both."""
    with pytest.raises(EncoderError) as caught:
        encoder(name, weights, **settings)
    message = str(caught.value)
    assert "\n" not in message and not re.search(r"[.!?] [A-Z]", message), message
    assert message.endswith((".", ")")) and str(weights) in message
    return message


class TestNames:
    @pytest.mark.parametrize(("name", "written"), FILES, ids=lambda value: getattr(value, "__name__", value))
    def test_every_project_gives_the_same_encoder(
        self, name: str, written: Callable[[dict[str, Tensor]], Any], tmp_path: Path
    ) -> None:
        state = state_of(name)
        plain = encoder(name, saved(state, tmp_path / "timm.pth"))
        found = encoder(name, saved(written(state), tmp_path / "theirs.pth"))
        image = torch.rand(1, 1, 40, 51)
        torch.testing.assert_close(found(image), plain(image), rtol=1e-4, atol=1e-4)
        random = encoder(name, "random")
        assert found.digest != random.digest
        if "reg" not in name:  # two roundings, in what is added and taken away
            assert found.digest == plain.digest

    @pytest.mark.parametrize("written", NAMES_OF_A_BLOCK)
    def test_the_names_are_those_of_transformers(self, written: Callable[[dict[str, Tensor]], Any]) -> None:
        name = next(name for name, each in FILES if each is written)
        prefix, names = NAMES_OF_A_BLOCK[written]
        found = {key.removeprefix(prefix) for key in written(state_of(name)) if key.startswith(prefix)}
        assert sorted({key.removesuffix(".weight").removesuffix(".bias") for key in found}) == names.split()

    @pytest.mark.parametrize("written", NAMES_OUTSIDE)
    def test_the_names_outside_the_blocks_are_too(self, written: Callable[[dict[str, Tensor]], Any]) -> None:
        name = next(name for name, each in FILES if each is written)
        found = [key for key in written(state_of(name)) if ".0." not in key and ".1." not in key]
        assert sorted(found) == NAMES_OUTSIDE[written].split()

    def test_half_precision_is_widened(self, tmp_path: Path) -> None:
        """OpenAI's weights come like this."""
        state = {key: value.half() for key, value in state_of("clip_vitb16").items()}
        found = encoder("clip_vitb16", saved(foreign.openai(state), tmp_path / "clip.pth"))
        assert {value.dtype for value in found.model.state_dict().values()} == {torch.float32}
        assert found(torch.rand(1, 1, 32, 32)).isfinite().all()

    @pytest.mark.parametrize("written", [foreign.dinov3, foreign.transformers_dinov3])
    def test_biases_of_dinov3_are_taken_where_timm_has_them(
        self, written: Callable[[dict[str, Tensor]], Any], tmp_path: Path
    ) -> None:
        state = state_of(QKVB)
        assert state["blocks.0.attn.q_bias"].any() and state["blocks.0.attn.v_bias"].any()
        path = saved(written(state), tmp_path / "dinov3.pth")
        for facet in ("key", "query", "value", "token"):
            plain = encoder(QKVB, saved(state, tmp_path / "timm.pth"), facet=facet)
            assert encoder(QKVB, path, facet=facet).digest == plain.digest
        assert "its blocks.0.attn.qkv.bias is not zero" in refusal("dinov3_vits16", path)


class TestWrongWeights:
    @pytest.mark.parametrize(
        ("name", "given", "written", "complaint"),
        [
            ("clip_vitb16", "mae_vitb16", foreign.mae, "its names are those of MAE"),
            ("clip_vitb16", "mae_vitb16", dict, "missing is norm_pre.weight, norm_pre.bias"),
            ("mae_vitb16", "clip_vitb16", foreign.openai, "its names are those of CLIP"),
            ("mae_vitb16", "clip_vitb16", dict, "its names are those of CLIP"),
            ("dino_vitb16", "mae_vitb16", foreign.transformers_mae_with_decoder, "those of MAE"),
            ("dino_vitb16", "sam_vitb16", foreign.sam, "those of SAM"),
            ("sam_vitb16", "dino_vitb16", dict, "its pos_embed is for 197 tokens, expected 4096 patches"),
            ("dino_vits16", "dino_vits8", dict, "has the shape (24, 3, 8, 8), expected (24, 3, 16, 16)"),
            ("dinov2_vits14", "dino_vits8", foreign.dino, "(24, 3, 8, 8)"),
            (
                "dinov2_vits14",
                "dinov2_vits14_reg",
                foreign.dinov2_registers,
                "it has register tokens, but this encoder has none",
            ),
            (
                "dinov2_vits14_reg",
                "dinov2_vits14",
                foreign.dinov2,
                "it has no register tokens, but this encoder has some",
            ),
            ("dinov3_vits16", "dino_vits16", foreign.transformers_vit, "it has no register tokens"),
            ("dino_vits16", "dinov3_vits16", foreign.dinov3, "those of DINOv3"),
        ],
    )
    def test_of_another_encoder(
        self, name: str, given: str, written: Callable[[Any], Any], complaint: str, tmp_path: Path
    ) -> None:
        path = saved(written(state_of(given)), tmp_path / "weights.pth")
        message = refusal(name, path)
        assert complaint in message
        assert f"does not hold the weights of {CATALOGUE[name].timm_name} ({name}): " in message

    @pytest.mark.parametrize(
        ("model_type", "tag", "complaint"),
        [("vit_mae", None, "a model of the type vit_mae"), (None, "mae", "these are the weights mae")],
    )
    def test_that_only_the_configuration_beside_them_tells_apart(
        self, model_type: str | None, tag: str | None, complaint: str, tmp_path: Path
    ) -> None:
        saved(state_of("mae_vitb16"), tmp_path / "model.safetensors")
        assert encoder("dino_vitb16", tmp_path).channels == 24  # nothing is said: then both are alike
        config = f'{{"model_type": "{model_type}"}}' if model_type else f'{{"pretrained_cfg": {{"tag": "{tag}"}}}}'
        (tmp_path / "config.json").write_text(config)
        assert encoder("mae_vitb16", tmp_path).channels == 24
        assert complaint in refusal("dino_vitb16", tmp_path)

    @pytest.mark.parametrize("config", ["", "[1]", '"x"', '{"model_type": 3, "pretrained_cfg": null}'])
    def test_a_strange_configuration_says_nothing(self, config: str, tmp_path: Path) -> None:
        saved(state_of("mae_vitb16"), tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(config)
        assert encoder("mae_vitb16", tmp_path).channels == 24

    @pytest.mark.parametrize(
        ("written", "complaint"),
        [
            (
                lambda state: {key: value for key, value in state.items() if not key.startswith("blocks.1.mlp")},
                "missing is blocks.1.mlp.fc1.weight, blocks.1.mlp.fc1.bias, blocks.1.mlp.fc2.weight and 1 more.",
            ),
            (
                lambda state: {
                    key: value
                    for key, value in foreign.transformers_vit(state).items()
                    if key != "encoder.layer.1.attention.attention.value.weight"
                },
                "missing is blocks.1.attn.qkv.weight",
            ),
            (
                lambda state: {**state, "blocks.0.norm1.weight": torch.ones(25)},
                "blocks.0.norm1.weight of another shape, such as (25,), expected (24,)",
            ),
            (  # timm's converter would resample the positions and say nothing
                lambda state: {**state, "pos_embed": torch.rand(1, 1 + 24 * 24, 24)},
                "its pos_embed is for 577 tokens, expected 196 patches",
            ),
            (
                lambda state: {**state, **{key.replace("blocks.1", "blocks.2"): state[key] for key in state}},
                "it holds more than this encoder has: blocks.2.",
            ),
            (lambda state: xfeat.load_packaged_weights(), "has the name of a projection of patches"),
            (lambda state: {"left": state, "right": state}, "it holds 2 vision transformers (left., right.)"),
            *((lambda state, content=content: content, "none of its 0 tensors") for content in ({}, [1, 2], None)),
            (lambda state: {"epoch": 3}, "none of its 0 tensors"),
        ],
        ids=[
            *("missing part", "half a projection", "other shape", "other size", "more blocks", "xfeat", "two"),
            *("empty", "list", "nothing", "number"),
        ],
    )
    def test_that_are_not_all_or_none(self, written: Callable[[Any], Any], complaint: str, tmp_path: Path) -> None:
        path = saved(written(state_of("dino_vits16")), tmp_path / "weights.pth")
        assert complaint in refusal("dino_vits16", path)

    def test_parts_that_are_not_used_may_be_missing(self, tmp_path: Path) -> None:
        state = {key: value for key, value in state_of("dino_vits16").items() if not key.startswith("norm.")}
        assert encoder("dino_vits16", saved(state, tmp_path / "weights.pth")).channels == 24


class Trap:
    """Unpickling it would run code."""

    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Trap, "ran", True)


class TestFiles:
    def test_nothing_in_a_file_is_executed(self, tmp_path: Path) -> None:
        path = saved({**state_of("dino_vits16"), "trap": Trap()}, tmp_path / "weights.pth")
        assert "objects other than weights" in refusal("dino_vits16", path)
        assert not Trap.ran

    def test_a_program_is_refused_with_advice(self, tmp_path: Path) -> None:
        """OpenAI publishes CLIP like this."""
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "ViT-B-16.pt"))
        message = refusal("clip_vitb16", tmp_path / "ViT-B-16.pt")
        assert "it is a TorchScript program: save its state_dict to a file of its own" in message

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ".npz"])
    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 half an archive"])
    def test_a_damaged_file(self, suffix: str, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(content)
        assert "does not hold the weights of vit_small_patch16_224.dino (dino_vits16)" in refusal("dino_vits16", path)

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "dino.pth"])
    def test_a_folder_stands_for_its_weights(self, name: str, tmp_path: Path) -> None:
        state = state_of("dino_vits16")
        path = saved(state, tmp_path / name)
        for other in ("README.md", "config.json"):
            (tmp_path / other).write_text("{}")
        assert find_weights(tmp_path) == path
        plain = encoder("dino_vits16", saved(state, tmp_path / "other" / "timm.pth"))
        assert encoder("dino_vits16", tmp_path).digest == plain.digest

    def test_the_usual_name_goes_before_others(self, tmp_path: Path) -> None:
        for name in ("pytorch_model.bin", "a.pth"):
            (tmp_path / name).touch()
        assert find_weights(tmp_path).name == "pytorch_model.bin"
        (tmp_path / "model.safetensors").touch()
        assert find_weights(tmp_path).name == "model.safetensors"

    @pytest.mark.parametrize(
        ("names", "found"), [([], "0 files of weights (none)"), (["b.pth", "a.pt"], "a.pt, b.pth")]
    )
    def test_folders_without_one_file_of_weights(self, names: list[str], found: str, tmp_path: Path) -> None:
        for name in [*names, "notes.txt"]:
            (tmp_path / name).touch()
        assert found in refusal("dino_vits16", tmp_path)

    def test_an_absent_path(self, tmp_path: Path) -> None:
        assert "no such file or folder" in refusal("dino_vits16", tmp_path / "absent")


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    torch.save({"a": whole[:4], "b": [whole[::2], {"c": torch.zeros(0)}], "d": "text"}, tmp_path / "a.pt")
    torch.save(whole, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(load_weights_only(tmp_path / "a.pt")["a"], whole[:4])
    assert torch.equal(load_weights_only(tmp_path / "old.pt"), whole)


def test_a_tensor_that_is_a_huge_view_of_one_number(tmp_path: Path) -> None:
    torch.save({"a": [torch.zeros(1).expand(10**12)]}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 5000
    with pytest.raises(CheckpointError, match=r"a tensor of shape \(1000000000000,\) without as many numbers"):
        load_weights_only(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is not opened, it holds a tensor"):
        read_checkpoint(tmp_path / "a.pt")


def test_an_archive_that_unpacks_to_far_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.zeros(10**6), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as good, zipfile.ZipFile(tmp_path / "b.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(weight_files, "_UNPACKED_BYTES", 10**6)
    assert load_weights_only(tmp_path / "a.pt").shape == (10**6,)
    with pytest.raises(CheckpointError, match=r"unpacks to 400\d+ bytes, far more than"):
        load_weights_only(tmp_path / "b.pt")


def test_deep_nesting(tmp_path: Path) -> None:
    nested: Any = torch.zeros(1)
    for _ in range(300):
        nested = [nested]
    torch.save(nested, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint|a\.pt is not of the format"):
        read_checkpoint(tmp_path / "a.pt")
