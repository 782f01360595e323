"""Which files are the same, and the one door at which it is refused to write over what is read."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bundle.errors import ConfigError
from bundle.records.names import folded

#: What tells a file from all others, whatever links lead to it: device and number, or the path where it is not there.
Identity = tuple[int, int] | str


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: str | Path) -> Identity:
    """What two paths have in common that lead to one file or folder, by symbolic or hard links or other letter case."""
    try:
        found = Path(path).stat()
        if found.st_ino:
            return found.st_dev, found.st_ino
    except (OSError, ValueError):
        pass
    return folded(os.path.realpath(str(path).replace("\0", "?")))


def require_writable(path: str | Path) -> None:
    """Refuse a file that could not be written, before the work is done that it shall hold; nothing is written.

    Raises:
        ConfigError: when it is a folder, or its folder may not be written or made.
    """
    path = Path(path)
    folder = next(above for above in path.absolute().parents if above.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = "it is a folder" if path.is_dir() else f"nothing can be written into {folder}"
        raise ConfigError(f"{path} cannot be written, {reason}: choose another file, or change the permissions.")


def refuse_to_overwrite(outputs: Iterable[str | Path], inputs: Iterable[Any]) -> None:
    """Refuse a run that would write over one of its inputs; to be called before anything is read.

    Names count as the same where a file system that ignores case would take them for one. Only the folders that would
    be written to are looked through, so that hundreds of thousands of files take a second.

    Args:
        outputs: the files that would be written, whether they exist or not.
        inputs: the files that are read, and lists of them; of a folder, the files in it. What does not exist counts for
            nothing, nor does what is no path, as None.

    Raises:
        ConfigError: naming the first such file.
    """
    planned: dict[Path, set[str]] = defaultdict(set)
    for output in map(Path, outputs):
        planned[output.parent].add(folded(output.name))
    existing: dict[Identity, Path] = {}
    for folder, names in planned.items():
        existing.update((identity(path), path) for path in _files(folder) if folded(path.name) in names)
    for path in _paths(inputs) if existing else ():
        if identity(path) in existing:
            raise ConfigError(
                f"the results would be written over {existing[identity(path)]}, which is one of the inputs: choose "
                "another folder or file for the results."
            )


def _paths(inputs: Iterable[Any]) -> Iterator[Path]:
    for given in inputs:
        if isinstance(given, (list, tuple)):
            yield from _paths(given)
        elif isinstance(given, (str, Path)):
            yield from (Path(given), *_files(Path(given)))


def _files(folder: Path) -> list[Path]:
    """The entries of a folder; none where it is no folder or cannot be looked through."""
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):
        return []
