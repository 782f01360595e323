"""Convolutions by the cheaper of two equal ways."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.networks.winograd import TILES, winograd_conv2d

#: From here on Winograd's way measures better on processors; below, its transforms cost what it saves: those of the
#: maps with few channels, those of the kernel with few cells.
WINOGRAD_CHANNELS = 64
WINOGRAD_CELLS = 10_000


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0, dilation: int = 1) -> Tensor:
    """A convolution of stride 1: :func:`torch.nn.functional.conv2d` up to rounding.

    Args:
        inputs: (B, C, H, W).
        weight: (O, C, r, r).
        bias: (O,), or None.
        padding: zeros around the inputs.
        dilation: cells from one tap of the kernel to the next.

    Returns:
        tensor of shape (B, O, H + 2 padding - dilation (r - 1), W + 2 padding - dilation (r - 1)).
    """
    if not _by_winograd(inputs, weight):
        return F.conv2d(inputs, weight, bias, padding=padding, dilation=dilation)
    # Where the kernel learns, an error of 3e-5 is nothing beside the noise of its gradient; matching has no such noise.
    rough = torch.is_grad_enabled() and weight.requires_grad
    return winograd_conv2d(inputs, weight, bias, padding, dilation, rough)


def _by_winograd(inputs: Tensor, weight: Tensor) -> bool:
    """On a processor, in full precision, on enough numbers; an exported graph keeps the plain operation."""
    return (
        inputs.device.type == "cpu"
        and inputs.dtype in (torch.float32, torch.float64)
        and weight.shape[-1] == weight.shape[-2]
        and weight.shape[-1] in TILES
        and min(weight.shape[:2]) >= WINOGRAD_CHANNELS
        and inputs.numel() >= WINOGRAD_CELLS * inputs.shape[1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )
