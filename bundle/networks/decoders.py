"""The paper's two light decoders, which are trained on the template, and the binning before them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.geometry import bilinear_matrix
from bundle.networks.winograd import convolve

_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
_RING = [offset for offset in _WINDOW if offset != (0, 0)]
_CENTRE = _WINDOW.index((0, 0))

#: Descriptors that are concatenated for one token: itself, 8 at distance 1, and 8 averages at distance 3.
LOG_BINS = len(_WINDOW) + len(_RING)


class LogBinning(nn.Module):
    """Concatenate each token's descriptor with those around it, on two levels of a logarithmic scale.

    Level 0: the 3x3 window at distance 1, row by row. Level 1: the 3x3 average of the map (padding not counted) at the
    eight neighbours at distance 3, row by row. Positions outside the map are clamped to its border.
    """

    bins = LOG_BINS

    def forward(self, features: Tensor) -> Tensor:
        """Bin a feature map.

        Args:
            features: tensor of shape (B, C, h, w).

        Returns:
            tensor of shape (B, 17 * C, h, w); channels ordered by bin, then by C.
        """
        _, _, rows, columns = features.shape
        near = F.pad(features, (1, 1, 1, 1), mode="replicate")
        far = F.pad(_averages(features), (3, 3, 3, 3), mode="replicate")
        bins = [near[..., 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in _WINDOW]
        bins += [far[..., 3 + 3 * dy : 3 + 3 * dy + rows, 3 + 3 * dx : 3 + 3 * dx + columns] for dy, dx in _RING]
        return torch.cat(bins, dim=1)

    def linear(self, features: Tensor, weight: Tensor) -> Tensor:
        """One matrix applied to every binned descriptor, without the 17-fold map.

        What stands in the bins are shifted copies of two maps, so binning and matrix together are two 3x3 convolutions:
        one of the map, and one with gaps of three cells of its averages.

        Args:
            features: tensor of shape (B, C, h, w).
            weight: (O, 17 * C).

        Returns:
            tensor of shape (B, O, h, w): ``weight`` times :meth:`forward` at every cell.
        """
        near, far = self._kernels(weight)
        padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
        averages = F.pad(_averages(features), (3, 3, 3, 3), mode="replicate")
        return convolve(padded, near) + convolve(averages, far, dilation=3)

    @staticmethod
    def _kernels(weight: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix as two kernels of shape (O, C, 3, 3), (3, 3, C, O) in memory; the middle of the second is empty.

        Both kernels are views of what is copied once, and so are their gradients.
        """
        by_bin = weight.view(len(weight), LOG_BINS, -1).permute(1, 2, 0).contiguous()
        near, before, after = by_bin.split([len(_WINDOW), _CENTRE, len(_RING) - _CENTRE])
        far = torch.cat([before, torch.zeros_like(before[:1]), after])
        return near.unflatten(0, (3, 3)).permute(3, 2, 0, 1), far.unflatten(0, (3, 3)).permute(3, 2, 0, 1)


class NoBinning(nn.Module):
    """Each token's descriptor alone: what stands where :class:`LogBinning` is not wanted."""

    bins = 1

    def forward(self, features: Tensor) -> Tensor:
        """The map as it is."""
        return features

    def linear(self, features: Tensor, weight: Tensor) -> Tensor:
        """One matrix, (O, C), applied to every descriptor: (B, C, h, w) -> (B, O, h, w)."""
        return F.conv2d(features, weight[..., None, None])


def _averages(features: Tensor) -> Tensor:
    return F.avg_pool2d(features, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class GlobalDecoder(nn.Module):
    """Upsample the encoder's (binned) map to the size of the input, then one 3x3 convolution.

    Args:
        in_channels: channels of the encoder's map.
        channels: channels of the decoded features; 256 in the paper.
        binning: what puts each token's surroundings beside it.
    """

    def __init__(self, in_channels: int, channels: int, binning: LogBinning | NoBinning) -> None:
        super().__init__()
        self.channels = channels
        self.binning = binning
        self.conv = nn.Conv2d(in_channels * binning.bins, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode a feature map.

        Upsampling and convolution are linear, so they may change places: each of the nine taps is one matrix on the
        small map, whose result is upsampled, shifted by the tap's offset and added. That costs (H W) / (h w) times
        fewer multiplications and is equal up to the order of the additions. Bilinear upsampling works on columns and
        rows one after the other, so the shifts and the sum are part of two matrix products.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result.

        Returns:
            tensor of shape (B, channels, H, W).
        """
        batch, _, rows, columns = features.shape
        assert self.conv.bias is not None
        taps = self.conv.weight.permute(2, 3, 0, 1).flatten(0, 2)
        mapped = self.binning.linear(features, taps).view(batch, 3, 3, self.channels, rows, columns)
        across, down = _shifted_upsampling(columns, size[1], features), _shifted_upsampling(rows, size[0], features)
        # Each step drops the map before it: at the end the result alone is as large as all of them.
        mapped = mapped.permute(0, 1, 3, 4, 2, 5).reshape(batch, 3, self.channels, rows, 3 * columns)
        mapped = mapped @ across.T
        mapped = mapped.transpose(1, 2).reshape(batch, self.channels, 3 * rows, size[1])
        decoded = down @ mapped
        return decoded.add_(self.conv.bias[:, None, None])


def _shifted_upsampling(old: int, new: int, like: Tensor) -> Tensor:
    """Upsampling along one axis, once for each tap, which reads one cell before, at and after: (new, 3 * old).

    The convolution reads zeros outside the upsampled map.
    """
    matrices = []
    for offset in (-1, 0, 1):
        read = torch.arange(new, dtype=torch.float64) + offset
        matrix = bilinear_matrix((read + 0.5) * (old / new) - 0.5, old)
        matrices.append(matrix * ((read >= 0) & (read < new))[:, None])
    return torch.cat(matrices, dim=1).to(like)


class LocalDecoder(nn.Module):
    """Two transposed convolutions, bilinear upsampling to the crop's size, and one 5x5 convolution.

    Args:
        in_channels: channels of the encoder's map.
        channels: channels of the decoded features; 256 in the paper.
        binning: what puts each token's surroundings beside it.
    """

    def __init__(self, in_channels: int, channels: int, binning: LogBinning | NoBinning) -> None:
        super().__init__()
        self.channels = channels
        self.binning = binning
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels * binning.bins, channels, kernel_size=2, stride=2),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
            nn.ReLU(inplace=True),
        )
        self.conv = nn.Conv2d(channels, channels, kernel_size=5, padding=2)

    def forward(self, features: Tensor, size: tuple[int, int], groups: int = 1) -> Tensor:
        """Decode the maps of crops.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result: that of the crops.
            groups: in training, every ``groups``-th crop is of the same group, and each group has its own batch
                statistics, as if the groups came one after the other.

        Returns:
            tensor of shape (B, channels, H, W), channels last in memory.
        """
        first, norm, relu, second, relu_again = self.up
        cells = _deconvolve(features, first, self.binning)
        if groups > 1 and norm.training:
            by_group = cells.unflatten(0, (-1, groups)).unbind(dim=1)
            normalised = [norm(part.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) for part in by_group]
            upsampled = relu(torch.stack(normalised, dim=1).flatten(0, 1).permute(0, 3, 1, 2))
        else:
            upsampled = relu(norm(cells.permute(0, 3, 1, 2)))
        # Before it is a view: in place on a view, autograd copies the map.
        upsampled = relu_again(_deconvolve(upsampled, second, NoBinning())).permute(0, 3, 1, 2)
        upsampled = F.interpolate(upsampled, size=tuple(size), mode="bilinear", align_corners=False)
        return convolve(upsampled, self.conv.weight, self.conv.bias, padding=2)


def _deconvolve(features: Tensor, layer: nn.Module, binning: LogBinning | NoBinning) -> Tensor:
    """A transposed convolution whose patches of 2x2 do not overlap: one matrix per cell, whose rows become four cells.

    (B, C, h, w) -> (B, 2 h, 2 w, O).
    """
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    batch, _, rows, columns = features.shape
    matrix = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    cells = binning.linear(features, matrix).permute(0, 2, 3, 1).reshape(batch, rows, columns, 2, 2, -1)
    spread = cells.transpose(2, 3).reshape(batch, 2 * rows, 2 * columns, -1)
    return spread.add_(layer.bias)
