"""The folder that a run writes to, what it writes there, and what a person has changed there since."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.io.overwriting import file_digest, refuse_to_overwrite
from bundle.writers.files import atomic_file
from bundle.writers.image_files import ENDINGS, writer_names

#: Fingerprints of all files that runs have written into the folder, in the form of ``sha256sum``.
CHECKSUMS = "checksums.sha256"


class ResultFolder:
    """The folder of the results of a run.

    Args:
        path: the folder; it need not exist.
        inputs: the files and folders that the run reads beside its images; None, and lists of them, are allowed.
        tables: the files that the run writes once, with whether it does; in order.
        writers: which files it writes for each image, see :func:`bundle.writers.image_files.writer_names`.

    Raises:
        ConfigError: when a writer is unknown or named twice.
    """

    def __init__(
        self,
        path: str | Path,
        inputs: Sequence[Any] = (),
        tables: Mapping[str, Any] | None = None,
        writers: Any = (),
    ) -> None:
        self.path = Path(str(path))  # a folder such as 2024 comes from the command line as a number
        self.inputs = tuple(inputs)
        self.tables = tuple(name for name, wanted in (tables or {}).items() if wanted)
        self.endings = tuple(ENDINGS[name] for name in writer_names(writers) if name in ENDINGS)

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
        outputs = [self.path / table for table in (*self.tables, CHECKSUMS)]
        outputs += [file for image_id in ids for file in self.files_of(image_id)]
        refuse_to_overwrite(outputs, [*self.inputs, *images])

    def digest(self, name: str) -> str:
        """SHA-256 of a file of the folder; empty where there is none."""
        return file_digest(self.path / name) if (self.path / name).is_file() else ""

    def read_checksums(self) -> dict[str, str]:
        """The fingerprints that the last complete run left, by the name of the file."""
        path = self.path / CHECKSUMS
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
        return {match[2]: match[1] for match in found if match}

    def write_checksums(self, files: Mapping[str, str]) -> None:
        """Note fingerprints of files beside those that earlier runs have noted; an empty one is of no file.

        Raises:
            BundleError: when the system refuses to write.
        """
        sums = {**self.read_checksums(), **files}
        with atomic_file(self.path / CHECKSUMS) as file:
            file.writelines(f"{digest}  {name}\n" for name, digest in sorted(sums.items()) if digest)
