"""How far a point can be trusted."""

from __future__ import annotations

import torch
from torch import Tensor


def confidence(similarity: Tensor, back_match_error: Tensor, spread: Tensor) -> Tensor:
    """One number from 0 to 1 for each landmark, larger for a point that is more likely near the truth.

    The similarity, times the geometric mean of two factors: agreement both ways, one half where the point matches back
    2 % of the long side away from the landmark; and sharpness, one half where the posterior is 2 % wide.

    Args:
        similarity: (N,), cosine similarity.
        back_match_error: (N,), as a fraction of the template's long side.
        spread: (N,), radius of the posterior as a fraction of the query's long side.

    Returns:
        tensor of shape (N,).
    """
    agreement = 1.0 / (1.0 + (back_match_error / 0.02).square())
    sharpness = 1.0 / (1.0 + (spread / 0.02).square())
    return similarity.clamp(0.0, 1.0) * torch.sqrt(agreement * sharpness)
