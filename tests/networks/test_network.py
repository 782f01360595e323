"""The network as a whole, and its settings."""

from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from bundle.encoders import FrozenEncoder, XFeatEncoder, create_encoder
from bundle.encoders.base import state_digest
from bundle.errors import ConfigError
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.records.validation import validate
from tests.reference.models import shallow_model


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"encoder": {}}, r"^network\.encoder\.name is missing: add it\.$"),
        (
            {"encoder": {"weights": "hub"}},
            r"^network\.encoder has no key 'weights'; known are name, facet, block, stride, seed\.$",
        ),
        ({"working_sides": ()}, r"^network\.working_sides is \(\), expected at least 1 item"),
        ({"working_sides": (320, 31)}, r"^network\.working_sides\[1\] is 31, expected at least 32\.$"),
        ({"working_side": "height"}, r"^network\.working_side is 'height', expected 'long' or 'short'\.$"),
        ({"resampling": "nearest"}, r"network\.resampling is 'nearest'"),
        (
            {"global_channels": 8},
            r"^network: global_channels needs one working size: several scales are matched undecoded\.$",
        ),
        ({"global_channels": -1}, r"network\.global_channels is -1"),
        ({"local_channels": -3}, r"network\.local_channels is -3"),
        ({"local_window": 31}, r"network\.local_window is 31"),
        ({"local_side": 10}, r"^network\.local_side is 10, expected 0 or at least 32\.$"),
        ({"negative": 1}, r"^network\.negative is 1, expected true or false\.$"),
        ({"working_sides": [320.5]}, r"^network\.working_sides\[0\] is 320\.5, expected a whole number\.$"),
        ({"working_sides": 320}, r"^network\.working_sides is 320, expected a list\.$"),
        ({"local_side": -1}, r"network\.local_side is -1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        validate(NetworkSettings, values, "network")


@pytest.mark.parametrize("name", ["negative", "whitening"])
def test_a_global_decoder_stands_alone(name: str) -> None:
    values = {"global_channels": 8, "working_sides": (224,), "negative": False, "whitening": False}
    assert NetworkSettings(**values).global_channels == 8
    with pytest.raises(ConfigError, match="set negative and whitening to false"):
        validate(NetworkSettings, {**values, name: True}, "network")


def test_settings_come_back_as_plain_values() -> None:
    settings = NetworkSettings(encoder={"name": "xfeat"}, working_sides=[320, 640], local_side=0, local_channels=0)
    assert settings.working_sides == (320, 640)
    values = settings.as_dict()
    assert values["working_sides"] == [320, 640]
    assert type(values["encoder"]) is dict
    assert validate(NetworkSettings, values, "network") == settings


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^the network of x\.pt has no key 'log_bining' \(did you mean log_binning\?\); known are encoder,",
    ):
        validate(NetworkSettings, {"log_bining": True}, "the network of x.pt")


@pytest.fixture(scope="module")
def vit() -> FrozenEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, 2, **options))
        return create_encoder(name="vit_tiny_patch16_224", weights="random", block=1, stride=8)


@pytest.fixture(scope="module")
def xfeat() -> XFeatEncoder:
    return XFeatEncoder()


PAPER: dict[str, Any] = {
    "encoder": {"name": "vit_tiny_patch16_224"},
    "log_binning": True,
    "working_sides": (64,),
    "working_side": "short",
    "resampling": "lanczos",
    "negative": False,
    "whitening": False,
    "global_channels": 6,
    "local_channels": 6,
    "local_side": 0,
    "local_window": 64,
}
XFEAT: dict[str, Any] = {"working_sides": (64, 100), "local_window": 64, "local_channels": 6}


class TestState:
    @pytest.fixture(params=["paper", "default"])
    def networks(self, request: pytest.FixtureRequest, vit: FrozenEncoder, xfeat: XFeatEncoder) -> list[OneShotNetwork]:
        """Two networks of one shape, with other decoders."""
        settings, encoder = (PAPER, vit) if request.param == "paper" else (XFEAT, xfeat)
        return [OneShotNetwork(NetworkSettings(**settings), encoder) for _ in range(2)]

    def test_holds_no_encoder(self, networks: list[OneShotNetwork]) -> None:
        keys = networks[0].state_dict().keys()
        assert {key.split(".")[0] for key in keys} <= {"global_decoder", "local_decoder", "whitening"}
        assert "local_decoder.conv.weight" in keys
        wrapped = nn.ModuleDict({"inner": networks[0]}).state_dict().keys()
        assert set(wrapped) == {f"inner.{key}" for key in keys}

    def test_loads_strictly_and_leaves_the_encoder_alone(self, networks: list[OneShotNetwork]) -> None:
        before = state_digest(networks[1].encoder)
        assert networks[1].load_state_dict(networks[0].state_dict(), strict=True) == ([], [])
        for key, value in networks[0].state_dict().items():
            assert torch.equal(value, networks[1].state_dict()[key])
        assert state_digest(networks[1].encoder) == before
        wrapped = nn.ModuleDict({"inner": networks[1]})
        assert wrapped.load_state_dict(nn.ModuleDict({"inner": networks[0]}).state_dict()) == ([], [])


def test_training_reaches_the_decoders_and_nothing_else(vit: FrozenEncoder) -> None:
    network = OneShotNetwork(NetworkSettings(**PAPER), vit).train()
    image = torch.rand(2, 1, 120, 97)
    whole = network.decode_global(network.encode_global(image), network.global_sizes((120, 97)))[0]
    local = network.decode_local(network.encode_local(image[..., :64, :64]), (64, 64))
    (whole[:, 0].mean() + local.mean()).backward()
    trained = {name for name, value in network.named_parameters() if value.grad is not None}
    assert trained == set(dict(network.named_parameters())) - {f"encoder.{n}" for n, _ in vit.named_parameters()}
    assert network.local_decoder.training
    assert not network.encoder.training


def test_a_decoded_map_has_the_decoders_size_and_forward_brings_it_to_length_one(vit: FrozenEncoder) -> None:
    network = OneShotNetwork(NetworkSettings(**PAPER), vit).eval()
    with torch.no_grad():
        image = torch.rand(1, 1, 120, 97)
        (found,) = network.decode_global(network.encode_global(image), [(79, 64)])
        assert network.global_sizes((120, 97)) == [(79, 64)]
        assert found.shape == (1, 6, 79, 64)
        torch.testing.assert_close(network(image), F.normalize(found, dim=1))


@torch.no_grad()
def test_scales_of_the_undecoded_network(xfeat: XFeatEncoder) -> None:
    """Each scale is encoded on its own, the negative too; forward puts them all on the finest."""
    network = OneShotNetwork(NetworkSettings(**XFEAT, negative=True), xfeat).eval()
    sizes = network.global_sizes((120, 97))
    assert sizes == [(64, 48), (96, 80)] * 2  # sides of whole cells of eight pixels
    image = torch.rand(1, 1, 120, 97)
    levels = network.encode_global(image)
    shrunk = F.interpolate(image, size=(96, 80), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(levels[1], xfeat(shrunk))
    smallest = F.interpolate(shrunk, size=(64, 48), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(levels[0], xfeat(smallest))
    torch.testing.assert_close(levels[3], xfeat(1 - shrunk))
    descriptors = network.decode_global(levels, sizes)
    for level, descriptor in zip(levels, descriptors):
        centred = level - level.mean(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(descriptor, centred)
    whole = network(image)
    assert whole.shape == (1, 4 * 64, 12, 10)
    torch.testing.assert_close(whole[:, 64:128], F.normalize(descriptors[1], dim=1))


@pytest.mark.parametrize("size", [(64, 64), (33, 64), (57, 41)])
@torch.no_grad()
def test_crops_of_any_size_are_encoded(xfeat: XFeatEncoder, vit: FrozenEncoder, size: tuple[int, int]) -> None:
    """Crops are clipped at the border, and XFeat takes whole cells only."""
    for settings, encoder in ((XFEAT, xfeat), (PAPER, vit)):
        network = OneShotNetwork(NetworkSettings(**settings), encoder).eval()
        crops = torch.rand(2, 1, *size)
        features = network.encode_local(crops)
        assert network.decode_local(features, size).shape == (2, 6, *size)
        if encoder.fit(size) == size:
            assert torch.equal(features, encoder(crops))
