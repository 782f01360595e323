"""The settings that shape the network: numbers and names only, so that a checkpoint can hold them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bundle.encoders import EncoderSettings
from bundle.errors import ConfigError
from bundle.records.radiograph import GreyValues
from bundle.records.validation import Items, Validated

# What goes beyond the largest values is a mistake, or a file that wants to fill the memory.
_Side = Annotated[int, Field(ge=32, le=65536)]
_Channels = Annotated[int, Field(ge=0, le=4096)]


class NetworkSettings(Validated):
    """Shape of the network.

    Attributes:
        encoder: the frozen encoder.
        log_binning: concatenate each token's descriptor with its surroundings.
        working_sides: sizes in pixels to which the image is brought for the global branch, one per scale.
        working_side: which side they mean, ``"long"`` or ``"short"``.
        grey_values: how the images were read that the network is for, one of
            :data:`bundle.records.radiograph.GreyValues`.
        resampling: ``"bilinear"`` or ``"lanczos"``.
        negative: encode the negative of the image too, as further scales: what is bright bone on a dark ground for
            one encoder may be better told apart the other way round.
        whitening: remove the mean and whiten the features of each scale before the cosine.
        global_channels: channels of the global decoder; 0 for none, then the encoder's own features are matched.
        local_channels: channels of the local decoder; 0 for none.
        local_side: size in pixels of the long side at which crops are cut; 0 for the full resolution.
        local_window: side in pixels of a crop.
        local_cells: side in cells of a decoded crop; 0 for one cell per pixel.
    """

    encoder: EncoderSettings = EncoderSettings(name="xfeat")
    log_binning: bool = False
    working_sides: Annotated[Items[_Side], Field(min_length=1, max_length=32)] = (320, 480, 640, 960, 1440)
    working_side: Literal["long", "short"] = "long"
    grey_values: GreyValues = "stretch"
    resampling: Literal["bilinear", "lanczos"] = "bilinear"
    negative: bool = False
    whitening: bool = True
    global_channels: _Channels = 0
    local_channels: _Channels = 0
    local_side: Literal[0] | _Side = 2400
    local_window: Annotated[int, Field(ge=32, le=8192)] = 256
    local_cells: Annotated[int, Field(ge=0, le=8192)] = 40

    @model_validator(mode="after")
    def _check_global_decoder(self) -> NetworkSettings:
        if self.global_channels and len(self.working_sides) > 1:
            raise ConfigError("global_channels needs one working size: several scales are matched undecoded.")
        if self.global_channels and (self.negative or self.whitening):
            raise ConfigError("global_channels is for a trained decoder: set negative and whitening to false.")
        return self

    @property
    def decoded_crop(self) -> tuple[int, int]:
        """(rows, columns) of a decoded crop that is not clipped."""
        side = self.local_cells or self.local_window
        return side, side

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values that a checkpoint or a JSON file can hold; of the encoder those given."""
        return {**self.model_dump(mode="json"), "encoder": self.encoder.model_dump(exclude_unset=True)}
