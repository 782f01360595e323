from __future__ import annotations

from typing import Any

import pytest

from bundle.errors import ConfigError
from bundle.networks import NetworkSettings
from bundle.records.validation import validate


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
