from __future__ import annotations

from typing import Any

import pytest

from bundle.networks import NetworkSettings, read_settings
from bundle.records.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"encoder": {}}, r"network\.encoder is {}, expected a dictionary with the key 'name'"),
        ({"encoder": {"weights": "hub"}}, "with the key 'name'"),
        ({"working_sides": ()}, r"network\.working_sides"),
        ({"working_sides": (320, 31)}, "at least 32 pixels"),
        ({"working_side": "height"}, r"network\.working_side is 'height'"),
        ({"resampling": "nearest"}, r"network\.resampling is 'nearest'"),
        ({"global_channels": 8}, "one working size"),
        ({"global_channels": -1}, r"network\.global_channels is -1"),
        ({"local_channels": -3}, r"network\.local_channels is -3"),
        ({"local_window": 31}, r"network\.local_window is 31"),
        ({"local_side": 10}, r"network\.local_side is 10"),
        ({"local_side": -1}, r"network\.local_side is -1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        NetworkSettings(**values)


@pytest.mark.parametrize("name", ["negative", "whitening"])
def test_a_global_decoder_stands_alone(name: str) -> None:
    values = {"global_channels": 8, "working_sides": (224,), "negative": False, "whitening": False}
    assert NetworkSettings(**values).global_channels == 8
    with pytest.raises(ConfigError, match="set negative and whitening to false"):
        NetworkSettings(**{**values, name: True})


def test_settings_come_back_as_plain_values() -> None:
    settings = NetworkSettings(encoder={"name": "xfeat"}, working_sides=[320.0, 640], local_side=0, local_channels=0)
    assert settings.working_sides == (320, 640)
    values = settings.as_dict()
    assert values["working_sides"] == [320, 640]
    assert type(values["encoder"]) is dict
    assert read_settings(NetworkSettings, values, "network") == settings


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"^the network of x\.pt has no setting colour, size; known are encoder,"):
        read_settings(NetworkSettings, {"size": 3, "colour": 1, "log_binning": True}, "the network of x.pt")
