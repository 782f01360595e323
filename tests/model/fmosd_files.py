"""Files of random numbers in the format of the paper's public code."""

from pathlib import Path

import torch
from torch import Tensor


def global_state(features: int, channels: int, seed: int = 1) -> dict[str, Tensor]:
    """What the global stage saves."""
    draw = torch.Generator().manual_seed(seed)
    scale = (9 * features) ** -0.5
    return {
        "conv_out.weight": torch.randn(channels, features, 3, 3, generator=draw) * scale,
        "conv_out.bias": torch.randn(channels, generator=draw),
    }


def local_state(features: int, channels: int, seed: int = 2) -> dict[str, Tensor]:
    """What the local stage saves, with the copy of the global convolution that it started from."""
    draw = torch.Generator().manual_seed(seed)

    def values(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    return {
        "up.0.weight": values(features, channels, 2, 2) * features**-0.5,
        "up.0.bias": values(channels),
        "up.1.weight": values(channels),
        "up.1.bias": values(channels),
        "up.1.running_mean": values(channels),
        "up.1.running_var": torch.rand(channels, generator=draw) + 0.2,
        "up.1.num_batches_tracked": torch.tensor(1000),
        "up.3.weight": values(channels, channels, 2, 2) * channels**-0.5,
        "up.3.bias": values(channels),
        **{name.replace("conv_out", "conv_out1"): value for name, value in global_state(features, channels).items()},
        "conv_out2.weight": values(channels, channels, 5, 5) * (25 * channels) ** -0.5,
        "conv_out2.bias": values(channels),
    }


def write_files(folder: Path, features: int, channels: int) -> tuple[Path, Path]:
    """The files of both stages: global, local."""
    first, second = folder / "global.pth", folder / "local.pth"
    torch.save(global_state(features, channels), first)
    torch.save(local_state(features, channels), second)
    return first, second
