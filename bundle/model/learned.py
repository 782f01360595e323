"""What a training from annotated templates leaves: kernels, filters and layouts, without any pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from bundle.matching.posterior_matcher import KnownLandmarks
from bundle.matching.shape_prior import ShapePrior


@dataclass(frozen=True)
class LearnedLandmarks:
    """The landmarks of K templates as inference needs them.

    Attributes:
        layouts: (K, N, 2), float64, the templates' landmarks ``(x, y)`` in units of each image's long side.
        kernels: for each level the descriptors around the landmarks, averaged over the templates, (N, C, patch, patch).
        filters: learned kernels of the fine stage, whose correlations add up to the score: for each level and, where
            there are crops, last for these (N, C, patch, patch).
        crop_matrix: (C, C), whitening of the crops' features; None without crops.
        crop_kernels: (N, C, patch, patch), whitened features of crops around the landmarks, averaged; None likewise.
    """

    layouts: Tensor
    kernels: tuple[Tensor, ...]
    filters: tuple[Tensor, ...]
    crop_matrix: Tensor | None = None
    crop_kernels: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together, before anything is computed with them.

        Raises:
            ValueError: saying what is wrong.
        """
        count = self.layouts.shape[1] if self.layouts.ndim == 3 else -1
        if self.layouts.dtype is not torch.float64 or self.layouts.ndim != 3 or self.layouts.shape[2] != 2:
            raise ValueError(f"its layouts have the shape {tuple(self.layouts.shape)} and type {self.layouts.dtype}")
        crops = () if self.crop_kernels is None else (self.crop_kernels,)
        if (self.crop_kernels is None) != (self.crop_matrix is None):
            raise ValueError("it has kernels of crops without their whitening, or the other way round")
        expected = [tuple(kernel.shape) for kernel in (*self.kernels, *crops)]
        if (
            not self.kernels
            or [tuple(one.shape) for one in self.filters] != expected
            or any(len(shape) != 4 or shape[0] != count or shape[2] != shape[3] for shape in expected)
        ):
            raise ValueError("its kernels and filters have different shapes")
        if self.crop_matrix is not None and tuple(self.crop_matrix.shape) != (expected[-1][1],) * 2:
            raise ValueError(f"the whitening of its crops has the shape {tuple(self.crop_matrix.shape)}")
        if not all(bool(torch.isfinite(one).all()) for one in self.tensors().values()):
            raise ValueError("its kernels hold numbers that are not finite")

    def known(self, device: torch.device) -> KnownLandmarks:
        """As the matching takes them; the layouts' mean stands for all of them in the coarse stage."""
        shape = ShapePrior.fit(list(self.layouts))
        return KnownLandmarks(
            [shape.mean.to(device)],
            [kernel.to(device) for kernel in self.kernels],
            None if self.crop_matrix is None else self.crop_matrix.to(device),
            None if self.crop_kernels is None else self.crop_kernels.to(device),
            [one.to(device) for one in self.filters],
            shape,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All parts by name, as a checkpoint holds them."""
        found: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[field.name] = value.detach().cpu()
            elif value is not None:
                found |= {f"{field.name}.{index}": one.detach().cpu() for index, one in enumerate(value)}
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> LearnedLandmarks:
        """What :meth:`tensors` gave.

        Raises:
            KeyError: when a part is missing.
            ValueError: when parts do not belong together.
        """
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()):
            raise ValueError("what it learned are no named tensors")

        def several(name: str) -> tuple[Tensor, ...]:
            count = sum(key.startswith(f"{name}.") for key in tensors)
            return tuple(tensors[f"{name}.{index}"] for index in range(count))

        return cls(
            tensors["layouts"],
            several("kernels"),
            several("filters"),
            tensors.get("crop_matrix"),
            tensors.get("crop_kernels"),
        )
