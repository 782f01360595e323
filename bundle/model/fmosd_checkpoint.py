"""The two files that the paper's public code writes, one per stage, as one checkpoint of this project.

The module that is trained in each stage has names of its own: the global stage calls the 3x3 convolution ``conv_out``;
the local stage holds the transposed convolutions ``up.*``, the 5x5 convolution ``conv_out2``, and a copy of the global
convolution, ``conv_out1``, which the public code replaces by the global stage's at test time.

The public code counts the channels of a token as (head dimension, head), this project as (head, head dimension): the
weights that read tokens are put into that order, bin by bin.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor

from bundle import __version__
from bundle.encoders.weight_files import read_tensors
from bundle.errors import CheckpointError, ConfigError, EncoderError
from bundle.io.overwriting import file_digest
from bundle.matching.settings import MatchingSettings
from bundle.model import build_network
from bundle.model.checkpoint import IMPORTED, Checkpoint
from bundle.networks import NetworkSettings
from bundle.records.radiograph import Template
from bundle.records.validation import validate

_AFFINE = ("weight", "bias")
_NORM = (*_AFFINE, "running_mean", "running_var", "num_batches_tracked")

#: Our names of the weights by those of the public code, for each stage.
STAGES = {
    "global": {f"conv_out.{part}": f"global_decoder.conv.{part}" for part in _AFFINE},
    "local": {
        **{f"up.{layer}.{part}": f"local_decoder.up.{layer}.{part}" for layer in (0, 3) for part in _AFFINE},
        **{f"up.1.{part}": f"local_decoder.up.1.{part}" for part in _NORM},
        **{f"conv_out2.{part}": f"local_decoder.conv.{part}" for part in _AFFINE},
    },
}

#: The weights that are applied to the encoder's tokens, each with its dimension of their channels.
READ_TOKENS = {"global_decoder.conv.weight": 1, "local_decoder.up.0.weight": 0}

#: Keys under which programs put the state of a network, and what ``DataParallel`` puts before the names.
WRAPPERS = ("state_dict.", "model.", "net.", "module.")


def import_fmosd(
    global_file: str | Path,
    local_file: str | Path,
    template: Template,
    *,
    network: Mapping[str, Any],
    matching: Mapping[str, Any],
    encoder_weights: str = "hub",
) -> Checkpoint:
    """A checkpoint with the decoders of the public code.

    Args:
        global_file: weights of the global stage.
        local_file: weights of the local stage.
        template: the image that the decoders were trained on.
        network: settings that differ from the defaults of :class:`bundle.networks.NetworkSettings`.
        matching: settings that differ from the defaults of :class:`bundle.matching.settings.MatchingSettings`.
        encoder_weights: ``"hub"``, ``"random"`` or a local file: the weights of the encoder that inference shall use;
            their digest goes into the checkpoint.

    Raises:
        CheckpointError: when a file is missing, is of the other stage, or holds weights that do not fit the network.
        ConfigError: when the settings are wrong or have no decoders.
        EncoderError: when the encoder's weights cannot be had.
    """
    settings = validate(NetworkSettings, network, "network")
    if not (settings.global_channels and settings.local_channels):
        raise ConfigError(
            f"network has global_channels {settings.global_channels} and local_channels {settings.local_channels}: "
            "expected both decoders, as in configs/paper.json."
        )
    how = validate(MatchingSettings, matching, "matching")
    files = {"global": global_file, "local": local_file}
    weights = {ours: value for stage, path in files.items() for ours, value in read_stage(path, stage).items()}
    built = build_network(settings, encoder_weights=encoder_weights)
    try:
        built.load_state_dict(weights)
    except RuntimeError as error:
        wrong = [str(path) for stage, path in files.items() if f"{stage}_decoder." in str(error)]
        raise CheckpointError(
            f"the weights in {' and '.join(wrong)} do not fit ({str(error).splitlines()[-1].strip()}): expected the "
            "network that the configuration describes."
        ) from error
    decoders = built.state_dict()
    for name, channels in READ_TOKENS.items():
        decoders[name] = _by_head(decoders[name], channels, built.binning.bins, built.encoder.heads)
    record = {
        "imported": IMPORTED,
        **{f"{stage}_file": {"name": Path(path).name, "sha256": file_digest(path)} for stage, path in files.items()},
        "version": __version__,
    }
    return Checkpoint(decoders, template, settings.as_dict(), how.as_dict(), built.encoder.digest, record)


def read_stage(path: str | Path, stage: str) -> dict[str, Tensor]:
    """The weights of a stage under our names; nothing in the file is executed.

    Raises:
        CheckpointError: when the file is missing, holds more than plain values, lacks a weight, or has one that is not
            of finite floating-point numbers.
    """
    expected = (
        f"expected the weights of FM-OSD's {stage} stage ({', '.join(STAGES[stage])}), the file of the global stage "
        "first and that of the local stage second"
    )
    if not Path(path).is_file():
        raise CheckpointError(f"there is no file {path}: {expected}.")
    try:
        tensors = read_tensors(Path(path))
    except EncoderError as error:
        raise CheckpointError(f"{path} cannot be used, {error}: {expected}.") from error
    for wrapper in WRAPPERS:
        inside = {name: value for name, value in tensors.items() if name.startswith(wrapper)}
        tensors = {name.removeprefix(wrapper): value for name, value in inside.items()} or tensors
    names = STAGES[stage]
    if missing := [name for name in names if name not in tensors]:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}: {expected}.")
    for name in names:
        value = tensors[name]
        real = value.is_floating_point() or (name.endswith("num_batches_tracked") and not value.is_complex())
        if not (real and torch.isfinite(value).all()) or (name.endswith("running_var") and (value < 0).any()):
            raise CheckpointError(f"{path} has values in {name} that no training leaves: expected finite floats.")
    return {ours: tensors[theirs] for theirs, ours in names.items()}


def _by_head(weight: Tensor, channels: int, bins: int, heads: int) -> Tensor:
    """A weight whose channels stand by (bin, head dimension, head), by (bin, head, head dimension)."""
    parts = weight.unflatten(channels, (bins, -1, heads)).transpose(channels + 1, channels + 2)
    return parts.flatten(channels, channels + 2).contiguous()


#: The settings, and the one key that those of the matching refer to.
_PRESET_KEYS = ("network", "matching", "candidates")


def read_preset(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the settings of the network and of the matching; nothing else of the configuration is looked at.

    Raises:
        ConfigError: when the file cannot be read, or lacks one of the two.
    """
    try:
        content = ConfigParser.load_config_file(path)
        parser = ConfigParser({key: content[key] for key in _PRESET_KEYS if key in content})
        return dict(parser.get_parsed_content("network")), dict(parser.get_parsed_content("matching"))
    except Exception as error:  # JSON, YAML and MONAI's parser each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path} is no configuration with 'network' and 'matching' ({reason}): give one such as configs/paper.json."
        ) from error
