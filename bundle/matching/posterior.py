"""From a map of scores to one sub-pixel point: the mean of the posterior, not its maximum."""

from typing import NamedTuple

import torch
from torch import Tensor

from bundle.matching.descriptors import AT_A_TIME


class PosteriorMoments(NamedTuple):
    """Mean and width of the posterior of each landmark.

    Attributes:
        cells: (N, 2), mean as cell coordinates ``(x, y)``.
        spread: (N,), root mean square distance from the mean, in cells.
    """

    cells: Tensor
    spread: Tensor


def posterior_moments(scores: Tensor, temperature: float) -> PosteriorMoments:
    """Mean and spread of ``softmax(scores / temperature)`` over the map.

    Args:
        scores: (N, rows, columns), log-posterior up to a factor ``temperature``.
        temperature: how many units of score make a factor of e.

    Returns:
        the moments in cells of the map.
    """
    if len(scores) > AT_A_TIME:
        parts = [posterior_moments(part, temperature) for part in scores.split(AT_A_TIME)]
        return PosteriorMoments(*(torch.cat(moment) for moment in zip(*parts)))
    _, rows, columns = scores.shape
    probability = torch.softmax(scores.flatten(1) / temperature, dim=1).reshape(scores.shape)
    x = torch.arange(columns, dtype=scores.dtype, device=scores.device)
    y = torch.arange(rows, dtype=scores.dtype, device=scores.device)
    along_x, along_y = probability.sum(dim=1), probability.sum(dim=2)
    mean_x, mean_y = along_x @ x, along_y @ y
    variance = (along_x * (x - mean_x[:, None]).square()).sum(dim=1)
    variance = variance + (along_y * (y - mean_y[:, None]).square()).sum(dim=1)
    return PosteriorMoments(torch.stack([mean_x, mean_y], dim=1), variance.clamp(min=0).sqrt())
