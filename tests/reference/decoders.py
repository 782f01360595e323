"""Step 4: the decoders D_G and D_L (paper, section 2.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def global_features(features: Tensor, size: tuple[int, int], weight: Tensor, bias: Tensor) -> Tensor:
    """F^G: (C, h, w) is upsampled to the size of the input, *then* goes through one 3x3 convolution."""
    upsampled = F.interpolate(features[None], size=size, mode="bilinear", align_corners=False)
    return F.conv2d(upsampled, weight, bias, padding=1)[0]


def convolution_by_hand(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution whose input is zero outside the map, one output at a time."""
    _, rows, columns = features.shape
    result = torch.zeros(len(bias), rows, columns).to(features)
    for row in range(rows):
        for column in range(columns):
            total = bias.clone()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= row + dy < rows and 0 <= column + dx < columns:
                        total += weight[:, :, dy + 1, dx + 1] @ features[:, row + dy, column + dx]
            result[:, row, column] = total
    return result


def local_features(features: Tensor, size: tuple[int, int], state: dict[str, Tensor]) -> Tensor:
    """F_i^L: deconvolution, BatchNorm, ReLU, deconvolution, ReLU, upsampling to the crop's size, 5x5 convolution.

    ``state`` holds the weights under the names of the two deconvolutions ``up.0`` and ``up.3``, the BatchNorm
    ``up.1`` and the convolution ``conv``.
    """
    x = deconvolution(features, state["up.0.weight"], state["up.0.bias"])
    shape = (-1, 1, 1)
    deviation = torch.sqrt(state["up.1.running_var"] + 1e-5)
    x = (x - state["up.1.running_mean"].reshape(shape)) / deviation.reshape(shape)
    x = x * state["up.1.weight"].reshape(shape) + state["up.1.bias"].reshape(shape)
    x = x.clamp(min=0)
    x = deconvolution(x, state["up.3.weight"], state["up.3.bias"]).clamp(min=0)
    x = F.interpolate(x[None], size=size, mode="bilinear", align_corners=False)
    return F.conv2d(x, state["conv.weight"], state["conv.bias"], padding=2)[0]


def deconvolution(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 2x2 transposed convolution of stride 2: each cell becomes four, each by its own matrix."""
    _, rows, columns = features.shape
    result = torch.zeros(len(bias), 2 * rows, 2 * columns).to(features)
    for row in range(rows):
        for column in range(columns):
            for dy in (0, 1):
                for dx in (0, 1):
                    result[:, 2 * row + dy, 2 * column + dx] = weight[:, :, dy, dx].T @ features[:, row, column] + bias
    return result
