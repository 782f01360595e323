"""Frozen features of the warps, computed once: what the decoders are trained on.

Neither the encoder nor the warps change, so one pass per warp replaces the many that training would make.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bundle.data.warps import WarpedTemplate
from bundle.errors import ConfigError
from bundle.ranks import is_first
from bundle.records.console import progress
from bundle.training.run_folder import kept
from bundle.training.stages import Stage


class StageFeatures(Dataset[dict[str, Tensor]]):
    """Inputs of one stage, kept at half precision: ``image``, (M, C, h, w), and ``label``, (M, K, 2).

    Each warp is one file, so a killed training computes none of them again; the system keeps in memory what it can.

    Args:
        warps: the warps of the template.
        stage: the stage that they are for.
        folder: where the files are.
        indices: numbers of the warps of this rank.

    Raises:
        ConfigError: when there is no warp for this rank.
    """

    def __init__(self, warps: WarpedTemplate, stage: Stage, folder: str | Path, indices: Sequence[int]) -> None:
        if not indices:
            raise ConfigError(
                f"there are {len(warps)} warps for {idist.get_world_size()} ranks: raise warps or start fewer ranks."
            )
        self.warps = warps
        self.stage = stage
        self.files = [(index, Path(folder) / f"warp_{index:06d}.pt") for index in indices]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        index, file = self.files[position]
        found = kept(file, lambda: self._encode(index))
        return {"image": found["image"].float(), "label": found["label"]}

    @property
    def missing(self) -> list[int]:
        """Positions of those that are not computed yet."""
        return [position for position, (_, file) in enumerate(self.files) if not file.is_file()]

    def compute(self, label: str) -> None:
        """Compute what is not there yet.

        Args:
            label: what the progress is called.

        Raises:
            ConfigError: when the disk has no room.
        """
        missing = self.missing
        for position in progress(missing, desc=label, unit="warp", disable=not is_first()):
            self[position]
            if position == missing[0]:
                self._require_room(self.files[position][1], len(missing) - 1)

    def _require_room(self, file: Path, others: int) -> None:
        """Refuse to begin what the disk cannot hold, by the size of one file."""
        needed, free = others * file.stat().st_size * idist.get_world_size(), shutil.disk_usage(file.parent).free
        if needed > free:
            raise ConfigError(
                f"the frozen features of {others} warps per rank need {needed / 1e9:.3g} GB in {file.parent}, but the "
                f"disk has {free / 1e9:.3g} GB left: give --output_dir a folder on another disk, or lower warps."
            )

    def _encode(self, index: int) -> dict[str, Tensor]:
        features, cells = self.stage.encode(self.warps[index], index)
        # Plain tensors: a warp is MONAI's MetaTensor, whose meta data would go into every file and every step.
        return {"image": features.as_subclass(Tensor).half().cpu(), "label": cells.as_subclass(Tensor).cpu()}


def collate_stage(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join items along their first axis: images of several warps, or crops of several warps."""
    return {key: torch.cat([item[key] for item in items]) for key in items[0]}
