"""Weights that follow from their names alone, so that two programs can make the same ones and compare their points.

The numbers of a tensor are standard normal, from numpy's default generator seeded by the first eight bytes of the
SHA-256 of its name, and scaled by what the tensor is for.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]


def ruled(name: str, shape: Shape) -> Tensor:
    """The tensor of a name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    normal = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(np.float32(_offset(name, shape)) + _scaled(name, shape, normal))


def _offset(name: str, shape: Shape) -> int:
    return int(name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")))


def _scaled(name: str, shape: Shape, normal: np.ndarray) -> np.ndarray:
    if name.endswith("running_var"):
        return np.float32(0.1) * np.abs(normal)
    if len(shape) == 1 or name in ("cls_token", "pos_embed"):
        return np.float32(0.1) * normal
    inputs = shape[0] if name.startswith("up.") else math.prod(shape[1:])  # up.*: transposed convolutions
    return normal / np.float32(np.sqrt(inputs))


def decoder_states(features: int, channels: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the global and the local stage of the public code would save."""
    shapes: dict[str, Shape] = {
        "conv_out1.weight": (channels, features, 3, 3),
        "conv_out1.bias": (channels,),
        "up.0.weight": (features, channels, 2, 2),
        "up.0.bias": (channels,),
        **{f"up.1.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")},
        "up.3.weight": (channels, channels, 2, 2),
        "up.3.bias": (channels,),
        "conv_out2.weight": (channels, channels, 5, 5),
        "conv_out2.bias": (channels,),
    }
    in_local = {name: ruled(name, shape) for name, shape in shapes.items()}
    in_global = {f"conv_out.{part}": in_local[f"conv_out1.{part}"] for part in ("weight", "bias")}
    return in_global, {**in_local, "up.1.num_batches_tracked": torch.tensor(1000)}


def write_ruled(folder: Path, encoder: Mapping[str, Shape], features: int, channels: int) -> dict[str, Path]:
    """The files ``encoder``, ``global`` and ``local``."""
    in_global, in_local = decoder_states(features, channels)
    states = {
        "encoder": {name: ruled(name, shape) for name, shape in encoder.items()},
        "global": in_global,
        "local": in_local,
    }
    for name, state in states.items():
        torch.save(state, folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in states}
