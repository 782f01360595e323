"""Transformers of timm with few blocks and random numbers everywhere, biases and norms too: no zero hides a slip."""

from collections.abc import Callable
from typing import Any

import timm
import torch

_create_model: Callable[..., Any] = timm.create_model


def shallow_model(name: str, depth: int = 3, **options: Any) -> Any:
    """What ``timm.create_model`` gives, with ``depth`` blocks; drawn from torch's global generator."""
    options["pretrained"] = False
    return scrambled(_create_model(name, depth=depth, **options))


@torch.no_grad()
def scrambled(model: Any) -> Any:
    """The model with noise added to all its parameters."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def seeded_model(name: str, seed: int, depth: int = 3, **options: Any) -> Any:
    """:func:`shallow_model` from a seed of its own, which leaves the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return shallow_model(name, depth, num_classes=0, **options)
