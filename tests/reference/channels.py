"""How a token's channels are counted: by the public code as (head dimension, head), by this project the other way."""

from torch import Tensor


def flattened_heads(by_head: Tensor, heads: int) -> Tensor:
    """(C, ...) with one head after the other, as timm's projections give it -> index ``d * heads + h``."""
    depth = len(by_head) // heads
    return by_head[[head * depth + d for d in range(depth) for head in range(heads)]]


def public_weight(weight: Tensor, dim: int, bins: int, heads: int) -> Tensor:
    """A weight of this project that reads binned tokens along ``dim``, as the public code would hold it."""
    depth = weight.shape[dim] // bins // heads
    order = [(b * heads + head) * depth + d for b in range(bins) for d in range(depth) for head in range(heads)]
    return weight.index_select(dim, weight.new_tensor(order).long())
