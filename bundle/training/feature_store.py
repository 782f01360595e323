"""Where frozen features are kept: in memory up to a budget, beyond it in files."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import ignite.distributed as idist
import torch
from torch import Tensor

from bundle.errors import ConfigError
from bundle.writers.atomic import atomic_file

_GB = 1e9

Features = tuple[Tensor, Tensor]


class FeatureStore:
    """The budget of one training for its frozen features, and the folder of those that exceed the memory.

    The folder belongs to the run whose fingerprint names it, so what a killed run left there is used and nothing else.
    Each warp is one file, which appears whole or not at all.

    Args:
        run_dir: the folder of the training, whose name is its fingerprint.
        memory_gb: gigabytes (1e9 bytes) that one rank keeps in memory.
        disk_gb: gigabytes that all ranks together may write.
        folder: a folder, such as a fast local disk, in which the files are kept instead of in ``run_dir``.

    Raises:
        ConfigError: when a budget is not a number from 0 on.
    """

    def __init__(self, run_dir: str | Path, memory_gb: float, disk_gb: float, folder: str | Path | None = None) -> None:
        for name, value in (("feature_memory_gb", memory_gb), ("feature_disk_gb", disk_gb)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigError(f"{name} is {value!r}, expected gigabytes, 0 or more.")
        run = Path(run_dir)
        self.folder = run / "features" if folder is None else Path(folder) / run.name
        self.memory_gb = float(memory_gb)
        self.disk_gb = float(disk_gb)
        self._memory_left = self.memory_gb * _GB
        self._disk_left = self.disk_gb * _GB / idist.get_world_size()

    def reserve(self, name: str, indices: list[int], item_bytes: int) -> int:
        """Take room for features that all have the same size, before they are computed.

        Args:
            name: what they are called: a folder of the store.
            indices: the numbers of the warps.
            item_bytes: bytes of one of them.

        Returns:
            how many of them, the first ones, are to be kept in memory.

        Raises:
            ConfigError: when memory and disk together have no room.
        """
        kept = min(len(indices), int(self._memory_left // item_bytes))
        needed = (len(indices) - kept) * item_bytes
        self._memory_left -= kept * item_bytes
        if not needed:
            return kept
        total = f"the frozen features of {len(indices)} warps take {len(indices) * item_bytes / _GB:.3g} GB"
        if needed > self._disk_left:
            raise ConfigError(
                f"{total} a rank, of which {needed / _GB:.3g} GB find no room in memory and "
                f"{self._disk_left / _GB:.3g} GB are left to this rank on the disk: raise feature_memory_gb "
                f"(now {self.memory_gb:g}) or feature_disk_gb (now {self.disk_gb:g}), or lower warps."
            )
        there = sum(self._file(name, index).is_file() for index in indices[kept:]) * item_bytes
        free = self._free()
        if (needed - there) * idist.get_world_size() > free:
            raise ConfigError(
                f"{total} a rank, of which {(needed - there) / _GB:.3g} GB have to be written to {self.folder}, but "
                f"the disk has {free / _GB:.3g} GB left for {idist.get_world_size()} rank(s): give another "
                f"--feature_dir, raise feature_memory_gb (now {self.memory_gb:g}), or lower warps."
            )
        self._disk_left -= needed
        return kept

    def read(self, name: str, index: int) -> Features | None:
        """Features and cells of one warp from its file; None where there is none, or a damaged one."""
        path = self._file(name, index)
        if not path.is_file():
            return None
        try:
            features, cells = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError):
            return None
        return features, cells

    def write(self, name: str, index: int, item: Features) -> None:
        """Write features and cells of one warp in one step.

        Raises:
            BundleError: when the system refuses to write.
        """
        with atomic_file(self._file(name, index), binary=True) as file:  # ranks that share a warp write it at one time
            torch.save(item, file)

    def forget(self) -> None:
        """Remove all files; the training is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str, index: int) -> Path:
        return self.folder / name / f"{index:06d}.pt"

    def _free(self) -> int:
        """Free bytes of the disk on which the folder is, or will be."""
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.is_dir())
        return shutil.disk_usage(there).free
