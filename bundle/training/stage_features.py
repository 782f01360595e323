"""Frozen features of the warps, computed once: what the decoders are trained on.

Neither the encoder nor the warps change, so one pass a warp replaces the many that training would make.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from bundle.data.warps import WarpedTemplate
from bundle.training.stages import Stage


class StageFeatures(Dataset):
    """Inputs of one stage, kept in memory at half precision: ``image``, (M, C, h, w), and ``label``, (M, K, 2).

    Args:
        warps: the warps of the template.
        stage: the stage that they are for.
        label: what the progress bar is called.
    """

    def __init__(self, warps: WarpedTemplate, stage: Stage, label: str) -> None:
        self.items: list[tuple[Tensor, Tensor]] = []
        for index in tqdm(range(len(warps)), desc=label, unit="warp", dynamic_ncols=True):
            features, cells = stage.encode(warps[index], index)
            self.items.append((features.half().cpu(), cells.cpu()))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        features, cells = self.items[index]
        return {"image": features.float(), "label": cells}


def collate_stage(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join items along their first axis: images of several warps, or crops of several warps."""
    return {key: torch.cat([item[key] for item in items]) for key in items[0]}
