"""Frozen features of the warps, computed once: what the decoders are trained on.

Neither the encoder nor the warps change, so one pass per warp replaces the many that training would make.
"""

from __future__ import annotations

from collections.abc import Sequence

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bundle.data.warps import WarpedTemplate
from bundle.errors import ConfigError
from bundle.ranks import is_first
from bundle.records.progress import progress
from bundle.training.feature_store import Features, FeatureStore
from bundle.training.stages import Stage


class StageFeatures(Dataset):
    """Inputs of one stage, kept at half precision: ``image``, (M, C, h, w), and ``label``, (M, K, 2).

    What the store has no memory for is in files; the values are the same.

    Args:
        warps: the warps of the template.
        stage: the stage that they are for.
        label: what the progress bar is called.
        store: the budget and the folder.
        name: what these features are called in the store.
        indices: numbers of the warps that are wanted, those of this rank; None for all.

    Raises:
        ConfigError: when there is no warp for this rank.
    """

    def __init__(
        self,
        warps: WarpedTemplate,
        stage: Stage,
        label: str,
        store: FeatureStore,
        name: str,
        indices: Sequence[int] | None = None,
    ) -> None:
        self.store = store
        self.name = name
        self.indices = list(range(len(warps))) if indices is None else list(indices)
        if not self.indices:
            raise ConfigError(
                f"there are {len(warps)} warps for {idist.get_world_size()} ranks: raise warps or start fewer ranks."
            )
        self._warps = warps
        self._stage = stage
        self._label = label
        self._memory: list[Features] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def compute(self) -> list[Features]:
        """Compute all features at the first call.

        Returns:
            those that memory holds, the first ones; the others are in the store's files.

        Raises:
            ConfigError: when there is no template, or no room.
        """
        if self._memory is not None:
            return self._memory
        memory: list[Features] = []
        shown = progress(total=len(self.indices), desc=self._label, unit="warp", disable=not is_first())
        with shown:
            first = self._encode(self.indices[0])
            in_memory = self.store.reserve(self.name, self.indices, sum(tensor.nbytes for tensor in first))
            for position, index in enumerate(self.indices):
                if position < in_memory:
                    memory.append(self._encode(index) if position else first)
                elif self.store.read(self.name, index) is None:
                    self.store.write(self.name, index, self._encode(index) if position else first)
                shown.update()
        self._memory = memory
        return memory

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        memory = self.compute()
        if index < len(memory):
            features, cells = memory[index]
        else:
            number = self.indices[index]
            # A file that is gone or damaged is no reason to stop a long training: the warp is still the same.
            features, cells = self.store.read(self.name, number) or self._encode(number)
        return {"image": features.float(), "label": cells}

    def _encode(self, index: int) -> Features:
        features, cells = self._stage.encode(self._warps[index], index)
        # Plain tensors: a warp is MONAI's MetaTensor, whose meta data would go into every file and every step.
        return features.as_subclass(Tensor).half().cpu(), cells.as_subclass(Tensor).cpu()


def collate_stage(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join items along their first axis: images of several warps, or crops of several warps."""
    return {key: torch.cat([item[key] for item in items]) for key in items[0]}
