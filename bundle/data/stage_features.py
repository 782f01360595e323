"""Frozen features of the warps, computed once: what the decoders are trained on.

The encoder never changes, nor do the warps, so the many passes that training would make are replaced by one a warp.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from bundle.data.warps import WarpedTemplate
from bundle.geometry import CellGeometry
from bundle.networks import OneShotNetwork
from bundle.networks.windows import padded_windows


class StageFeatures(Dataset):
    """Items of one stage, computed once and kept in memory at half precision.

    Each item is ``image``, frozen features of shape (M, C, h, w), and ``label``, landmarks as cell coordinates
    ``(x, y)`` of the decoded map, of shape (M, K, 2): M = 1 whole image with K = N landmarks in the global stage, M = N
    crops with K = 1 in the local stage.

    Args:
        warps: the warps of the template.
        encode: what makes an item of a warp.
        label: what the progress bar is called.
    """

    def __init__(
        self,
        warps: WarpedTemplate,
        encode: Callable[[dict[str, Tensor], int], tuple[Tensor, Tensor]],
        label: str,
    ) -> None:
        self.items: list[tuple[Tensor, Tensor]] = []
        for index in tqdm(range(len(warps)), desc=label, unit="warp", dynamic_ncols=True):
            features, cells = encode(warps[index], index)
            self.items.append((features.half().cpu(), cells.cpu()))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        features, cells = self.items[index]
        return {"image": features.float(), "label": cells}


def collate_stage(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join items along their first axis: images of several warps, or crops of several warps."""
    return {key: torch.cat([item[key] for item in items]) for key in items[0]}


class EncodeWhole:
    """Frozen features of a whole warp for the global stage (one scale).

    Args:
        network: the network whose encoder is used.
        geometry: how landmarks lie on the decoded map.
    """

    def __init__(self, network: OneShotNetwork, geometry: CellGeometry) -> None:
        self.network = network
        self.geometry = geometry

    def __call__(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """See :class:`StageFeatures`; the index is not used."""
        image = warp["image"][None].to(next(self.network.encoder.parameters()).device)
        size = (image.shape[-2], image.shape[-1])
        (features,) = self.network.encode_global(image)
        (decoded,) = self.network.global_sizes(size)
        return features, self.geometry.to_cells(warp["landmarks"], size, decoded)[None]


class EncodeCrops:
    """Frozen features of one crop a landmark for the local stage, each shifted at random.

    Args:
        network: the network whose encoder is used.
        jitter: largest shift in pixels of the crop, on each axis; the paper has 50.
        seed: seed of the shifts.
    """

    def __init__(self, network: OneShotNetwork, jitter: int, seed: int) -> None:
        self.network = network
        self.jitter = jitter
        self.seed = seed

    def __call__(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """See :class:`StageFeatures`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        landmarks = warp["landmarks"]
        shift = torch.randint(-self.jitter, self.jitter + 1, landmarks.shape, generator=generator)
        image = warp["image"].to(next(self.network.encoder.parameters()).device)
        windows = padded_windows(image, (landmarks + shift).to(image.device), self.network.settings.local_window)
        cells = landmarks - windows.origins.cpu().to(landmarks.dtype)
        return self.network.encode_local(windows.crops), cells[:, None]
