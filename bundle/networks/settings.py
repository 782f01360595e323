"""The settings that shape the network: numbers and names only, so that a checkpoint can hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bundle.records.errors import ConfigError

WORKING_SIDES = ("long", "short")
RESAMPLINGS = ("bilinear", "lanczos")

#: The largest values: what goes beyond is a mistake, or a file that wants to fill the memory.
_LARGEST = {
    "global_channels": 4096,
    "local_channels": 4096,
    "local_side": 65536,
    "local_window": 8192,
    "local_cells": 8192,
}
_LARGEST_SIDE, _MOST_SIDES = 65536, 32


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of the network.

    Attributes:
        encoder: ``{"name": ...}`` and what :func:`bundle.encoders.create_encoder` takes beside it.
        log_binning: concatenate each token's descriptor with its surroundings.
        working_sides: sizes in pixels to which the image is brought for the global branch, one a scale.
        working_side: which side they mean, ``"long"`` or ``"short"``.
        resampling: ``"bilinear"`` or ``"lanczos"``.
        negative: encode the negative of the image too, as further scales: what is bright bone on a dark ground for
            one encoder may be better told apart the other way round.
        whitening: remove the mean and whiten the features of each scale before the cosine.
        global_channels: channels of the global decoder; 0 for none, then the encoder's own features are matched.
        local_channels: channels of the local decoder.
        local_side: size in pixels of the long side at which crops are cut; 0 for the full resolution.
        local_window: side in pixels of a crop.
        local_cells: side in cells of a decoded crop; 0 for one cell a pixel.
    """

    encoder: Mapping[str, Any] = field(default_factory=lambda: {"name": "xfeat"})
    log_binning: bool = False
    working_sides: Sequence[int] = (320, 480, 640, 960, 1440)
    working_side: str = "long"
    resampling: str = "bilinear"
    negative: bool = True
    whitening: bool = True
    global_channels: int = 0
    local_channels: int = 16
    local_side: int = 2400
    local_window: int = 256
    local_cells: int = 40

    def __post_init__(self) -> None:
        if "name" not in self.encoder:
            raise ConfigError(f"network.encoder is {dict(self.encoder)!r}, expected a dictionary with the key 'name'.")
        if not self.working_sides or any(int(side) < 32 for side in self.working_sides):
            raise ConfigError(f"network.working_sides is {self.working_sides!r}, expected sizes of at least 32 pixels.")
        if len(self.working_sides) > _MOST_SIDES or max(self.working_sides) > _LARGEST_SIDE:
            raise ConfigError(
                f"network.working_sides has {len(self.working_sides)} sizes up to {max(self.working_sides)}, expected "
                f"at most {_MOST_SIDES} of at most {_LARGEST_SIDE} pixels."
            )
        for name, largest in _LARGEST.items():
            if getattr(self, name) > largest:
                raise ConfigError(f"network.{name} is {getattr(self, name)}, expected at most {largest}.")
        if self.working_side not in WORKING_SIDES:
            raise ConfigError(f"network.working_side is {self.working_side!r}, expected 'long' or 'short'.")
        if self.resampling not in RESAMPLINGS:
            raise ConfigError(f"network.resampling is {self.resampling!r}, expected 'bilinear' or 'lanczos'.")
        for name in ("global_channels", "local_channels"):
            if getattr(self, name) < 0:
                raise ConfigError(f"network.{name} is {getattr(self, name)}, expected zero (none) or more channels.")
        if self.local_side != 0 and self.local_side < 32:
            raise ConfigError(
                f"network.local_side is {self.local_side}, expected at least 32 pixels, or 0 for the full resolution."
            )
        if self.global_channels and len(self.working_sides) > 1:
            raise ConfigError("network.global_channels needs one working size: several scales are matched undecoded.")
        if self.global_channels and (self.negative or self.whitening):
            raise ConfigError("network.global_channels is for a trained decoder: set negative and whitening to false.")
        if self.local_window < 32:
            raise ConfigError(f"network.local_window is {self.local_window}, expected at least 32 pixels.")
        object.__setattr__(self, "encoder", dict(self.encoder))
        object.__setattr__(self, "working_sides", tuple(int(side) for side in self.working_sides))

    @property
    def decoded_crop(self) -> tuple[int, int]:
        """(rows, columns) of a decoded crop that is not clipped."""
        side = self.local_cells or self.local_window
        return side, side

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values that a checkpoint or a JSON file can hold."""
        return {**asdict(self), "working_sides": list(self.working_sides)}


def read_settings(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Build a dataclass of settings from a configuration's dictionary.

    Raises:
        ConfigError: naming the keys that the dataclass does not have, or saying which value cannot be.
    """
    known = [item.name for item in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{where} has no setting {', '.join(unknown)}; known are {', '.join(known)}.")
    try:
        return kind(**values)
    except ConfigError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{where} has a value of the wrong kind ({error}): expected plain numbers and names."
        ) from error
