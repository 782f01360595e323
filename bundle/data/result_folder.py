"""The folder that a run writes to, and what it writes there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.io.overwriting import refuse_to_overwrite
from bundle.writers.naming import ENDINGS


class ResultFolder:
    """The folder of the results of a run.

    Args:
        path: the folder; it need not exist.
        inputs: the files and folders that the run reads beside its images; None, and lists of them, are allowed.
        tables: the files that the run writes once.
        writers: which files it writes for each image, of :data:`bundle.writers.naming.ENDINGS`; others are passed over.
    """

    def __init__(
        self, path: str | Path, inputs: Sequence[Any] = (), tables: Sequence[str] = (), writers: Sequence[str] = ()
    ) -> None:
        self.path = Path(str(path))  # a folder such as 2024 comes from the command line as a number
        self.inputs = tuple(inputs)
        self.tables = tuple(tables)
        self.endings = tuple(ENDINGS[name] for name in writers if name in ENDINGS)

    def files_of(self, image_id: str) -> list[Path]:
        """The files of one image."""
        return [self.path / f"{image_id}{ending}" for ending in self.endings]

    def refuse_inputs(self, ids: Iterable[str], images: Iterable[str | Path]) -> None:
        """Refuse a run that would write over what it reads (see :func:`bundle.io.overwriting.refuse_to_overwrite`).

        Args:
            ids: the ids of the images of the run.
            images: the files that it reads for them.

        Raises:
            ConfigError: naming the first such file.
        """
        outputs = [self.path / table for table in self.tables]
        outputs += [file for image_id in ids for file in self.files_of(image_id)]
        refuse_to_overwrite(outputs, [*self.inputs, *images])
