"""The two files that the paper's public code writes, one per stage, as one checkpoint of this project.

The module that is trained in each stage has names of its own: the global stage calls the 3x3 convolution ``conv_out``;
the local stage holds the transposed convolutions ``up.*``, the 5x5 convolution ``conv_out2``, and a copy of the global
convolution, ``conv_out1``, which the public code replaces by the global stage's at test time.

The public code counts the channels of a token as (head dimension, head), this project as (head, head dimension): the
weights that read tokens are put into that order, bin by bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from bundle.records.template import Template
from bundle.records.validation import validate


@dataclass(frozen=True)
class _Stage:
    """One of the two files.

    Attributes:
        name: the stage's name.
        names: our names by those of the public code.
        what: what the file holds, for messages.
        reads_tokens: the one weight that is applied to the encoder's tokens, and its dimension of their channels.
    """

    name: str
    names: Mapping[str, str]
    what: str
    reads_tokens: tuple[str, int]


_AFFINE = ("weight", "bias")
_NORM = (*_AFFINE, "running_mean", "running_var", "num_batches_tracked")

GLOBAL = _Stage(
    "global",
    {f"conv_out.{part}": f"global_decoder.conv.{part}" for part in _AFFINE},
    "the weights of FM-OSD's global stage (conv_out)",
    ("conv_out.weight", 1),
)
LOCAL = _Stage(
    "local",
    {
        **{f"up.{layer}.{part}": f"local_decoder.up.{layer}.{part}" for layer in (0, 3) for part in _AFFINE},
        **{f"up.1.{part}": f"local_decoder.up.1.{part}" for part in _NORM},
        **{f"conv_out2.{part}": f"local_decoder.conv.{part}" for part in _AFFINE},
    },
    "the weights of FM-OSD's local stage (up.0, up.1, up.3, conv_out2)",
    ("up.0.weight", 0),
)


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

    Returns:
        the checkpoint; ``training["local_copy_differs"]`` says whether the local file's copy of the global convolution
        is another one than the global file's, which is the one that is taken.

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
    in_global, in_local = read_weights(global_file, GLOBAL.what), read_weights(local_file, LOCAL.what)
    _require_names(in_global, GLOBAL, LOCAL, global_file)
    _require_names(in_local, LOCAL, GLOBAL, local_file)
    built = build_network(settings, encoder_weights=encoder_weights)
    expected = built.state_dict()
    decoders = {
        **_renamed(in_global, GLOBAL, expected, global_file),
        **_renamed(in_local, LOCAL, expected, local_file),
    }
    for stage in (GLOBAL, LOCAL):
        name, channels = stage.reads_tokens
        weight = decoders[stage.names[name]]
        decoders[stage.names[name]] = _by_head(weight, channels, built.binning.bins, built.encoder.heads)
    record = {
        "imported": IMPORTED,
        "global_file": {"name": Path(global_file).name, "sha256": file_digest(global_file)},
        "local_file": {"name": Path(local_file).name, "sha256": file_digest(local_file)},
        "local_copy_differs": _copy_differs(in_global, in_local),
        "version": __version__,
    }
    return Checkpoint(decoders, template, settings.as_dict(), how.as_dict(), built.encoder.digest, record)


def _require_names(weights: Mapping[str, Tensor], stage: _Stage, other: _Stage, path: str | Path) -> None:
    missing = [name for name in stage.names if name not in weights]
    if not missing:
        return
    if all(name in weights for name in other.names):
        raise CheckpointError(
            f"{path} holds the weights of the {other.name} stage, expected {stage.what}: give the global stage's file "
            "first and the local stage's second."
        )
    raise CheckpointError(f"{path} lacks {', '.join(missing)}: expected {stage.what}.")


def _renamed(
    weights: Mapping[str, Tensor], stage: _Stage, expected: Mapping[str, Tensor], path: str | Path
) -> dict[str, Tensor]:
    """The weights of a stage under our names, once they are known to fit."""
    renamed = {}
    for theirs, ours in stage.names.items():
        value, like = weights[theirs], expected[ours]
        if value.shape != like.shape:
            raise CheckpointError(
                f"{path} has {theirs} of the shape {tuple(value.shape)}, expected {tuple(like.shape)}: the file "
                "belongs to another network than the configuration describes."
            )
        if value.layout != torch.strided or value.is_meta or value.is_floating_point() != like.is_floating_point():
            raise CheckpointError(f"{path} has {theirs} of the kind {value.dtype}, expected plain {like.dtype}.")
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} has values in {theirs} that are not finite: expected {stage.what}.")
        if theirs.endswith("running_var") and bool((value < 0).any()):
            raise CheckpointError(f"{path} has negative variances in {theirs}: expected {stage.what}.")
        renamed[ours] = value.to(like.dtype)
    return renamed


def _by_head(weight: Tensor, channels: int, bins: int, heads: int) -> Tensor:
    """A weight whose channels stand by (bin, head dimension, head), by (bin, head, head dimension)."""
    parts = weight.unflatten(channels, (bins, -1, heads)).transpose(channels + 1, channels + 2)
    return parts.flatten(channels, channels + 2).contiguous()


def _copy_differs(in_global: Mapping[str, Tensor], in_local: Mapping[str, Tensor]) -> bool:
    """Whether the local file has a copy of the global convolution, and it is another one."""
    pairs = [(in_global[f"conv_out.{part}"], in_local.get(f"conv_out1.{part}")) for part in _AFFINE]
    return any(copy is not None and not torch.equal(original, copy) for original, copy in pairs)


#: Keys under which programs put the state of a network, beside what else they save.
WRAPPERS = ("state_dict", "model", "net")

#: What ``DataParallel`` puts before the names.
PARALLEL = "module."


def read_weights(path: str | Path, what: str) -> dict[str, Tensor]:
    """The tensors of a state, bare or under one of :data:`WRAPPERS`; nothing in the file is executed.

    Args:
        path: the file.
        what: what the file should be, for the messages.

    Returns:
        tensors by name, without the prefix ``module.``; entries that are no tensors are left out.

    Raises:
        CheckpointError: when the file is missing, or holds more than plain values.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"there is no file {path}: expected {what}.")
    try:
        tensors = read_tensors(Path(path))
    except EncoderError as error:
        raise CheckpointError(f"{path} cannot be used, {error}: expected {what}.") from error
    for wrapper in WRAPPERS:
        inside = {name: value for name, value in tensors.items() if name.startswith(f"{wrapper}.")}
        tensors = {name.removeprefix(f"{wrapper}."): value for name, value in inside.items()} or tensors
    return {name.removeprefix(PARALLEL): value for name, value in tensors.items()}


#: The settings, and the one key that those of the matching refer to.
_PRESET_KEYS = ("network", "matching", "candidates")


def read_preset(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the settings of the network and of the matching; nothing else of the configuration is looked at.

    Raises:
        ConfigError: when the file cannot be read, or lacks one of the two.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no configuration {path}: expected a JSON file with 'network' and 'matching'.")
    try:
        content = ConfigParser.load_config_file(path)
        parser = ConfigParser({key: content[key] for key in _PRESET_KEYS if key in content})
        return dict(parser.get_parsed_content("network")), dict(parser.get_parsed_content("matching"))
    except Exception as error:  # JSON, YAML and MONAI's parser each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path} is no configuration with 'network' and 'matching' ({reason}): give one such as configs/paper.json."
        ) from error
