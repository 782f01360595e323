"""Warps of the one template: the only images that the decoders are trained on (paper, section 3)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, RandAffined, RandAffineGrid
from torch import Tensor
from torch.utils.data import Dataset

from bundle.errors import ConfigError
from bundle.records.template import Template


class WarpedTemplate(Dataset):
    """Random warps of the template with their landmarks; the same index and seed always give the same warp.

    The transforms are MONAI's and act on an item with ``image``, a MetaTensor of shape (1, H, W), and ``landmarks``,
    of shape (1, N, 2) in ``(row, column)``, so that :class:`monai.transforms.ApplyTransformToPointsd` can take the
    points along.

    Args:
        template: the annotated image.
        transform: random transforms of one item.
        count: how many warps there are.
        seed: warps of another seed are other warps.

    Raises:
        ConfigError: when there is not at least one warp.
    """

    def __init__(
        self,
        template: Template,
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        count: int,
        seed: int,
    ) -> None:
        if not count >= 1:
            raise ConfigError(f"a training with {count} warps was asked for, expected at least one: raise the setting.")
        self.image = torch.from_numpy(template.image)[None]
        self.points = torch.from_numpy(template.landmarks.points)
        self.transform = transform if isinstance(transform, Compose) else Compose([transform])
        self.count = count
        self.seed = seed
        self._template = template

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One warp.

        Returns:
            ``image``, (1, H, W), and ``landmarks``, (N, 2) in pixels ``(x, y)`` of it, which may be outside.

        Raises:
            ConfigError: when there is no template.
        """
        self._template.require()
        self.transform.set_random_state(seed=int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0]))
        item = {
            "image": MetaTensor(self.image.clone(), affine=torch.eye(4, dtype=torch.float64)),
            "landmarks": self.points.flip(-1)[None],
        }
        warped: Any = self.transform(item)
        points = torch.as_tensor(warped["landmarks"])[0].flip(-1).float()
        return {
            "image": torch.as_tensor(warped["image"]).float(),
            "landmarks": points,
        }


class _OneScaleGrid(RandAffineGrid):
    def randomize(self, data: Any | None = None) -> None:
        super().randomize(data)
        self.scale_params = (self.scale_params or [1.0]) * 2


class RandOneScaleAffined(RandAffined):
    """MONAI's ``RandAffined`` with one scale factor for both axes.

    MONAI draws a factor for each axis of its own: a single number in ``scale_range`` scales the rows alone.

    Args:
        keys: the keys of the images.
        scale_range: the factor lies between ``1 - scale_range`` and ``1 + scale_range``.
        options: all others of ``RandAffined``.
    """

    def __init__(self, keys: KeysCollection, *, scale_range: float, **options: Any) -> None:
        super().__init__(keys, scale_range=scale_range, **options)
        drawn = self.rand_affine.rand_affine_grid
        self.rand_affine.rand_affine_grid = _OneScaleGrid(
            drawn.rotate_range, drawn.shear_range, drawn.translate_range, drawn.scale_range, drawn.device
        )
