"""Read a run's images one after the other; those that cannot be read are recorded and left out."""

import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from monai.data import list_data_collate
from torch.utils.data import Dataset
from tqdm import tqdm

from bundle.errors import find_bundle_error, one_line


@dataclass
class Failures:
    """Files that a run could not use, with the reason, in the order in which they were met.

    Each is one line on standard error when it is met.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, file: str, reason: str) -> None:
        """Record one file, and say so."""
        self.rows.append((file, reason))
        tqdm.write(f"error: {one_line(reason)}", file=sys.stderr)  # above the progress bar

    def __len__(self) -> int:
        return len(self.rows)


class ReadableImages:
    """Batches of one image for an engine, in which no broken file stops the run.

    It has no length, on purpose: an engine that were told a length would start again from the first image when a broken
    file made the run shorter.

    Args:
        dataset: a :class:`monai.data.Dataset` whose items are dictionaries with ``image``.
        failures: where broken files are recorded.
        read_ahead: how many images are read in the background while one is worked on; 0 for none.
    """

    def __init__(self, dataset: Dataset, failures: Failures, read_ahead: int = 1) -> None:
        self.dataset = dataset
        self.failures = failures
        self.read_ahead = read_ahead

    @property
    def files(self) -> int:
        """How many files the run has, readable or not."""
        return len(self.dataset)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending: deque[Future[dict[str, Any] | None]] = deque()
            for index in range(self.files):
                pending.append(pool.submit(self._read, index))
                if len(pending) > self.read_ahead:
                    yield from _present(pending.popleft())
            while pending:
                yield from _present(pending.popleft())

    def _read(self, index: int) -> dict[str, Any] | None:
        try:
            return list_data_collate([self.dataset[index]])
        except Exception as error:  # MONAI wraps what a transform raises; only ours is a file's fault
            ours = find_bundle_error(error)
            if ours is None:
                raise
            self.failures.add(self.dataset.data[index]["image"], str(ours))  # type: ignore[attr-defined]
            return None


def _present(read: Future[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    batch = read.result()
    if batch is not None:
        yield batch
