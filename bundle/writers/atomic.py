"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bundle.errors import BundleError

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


@contextlib.contextmanager
def atomic_file(path: Path | str, binary: bool = False) -> Iterator[IO[Any]]:
    """Write a file so that nobody ever sees it half written.

    The content goes to a temporary file in the same folder, which takes the place of ``path`` once it is complete and
    on the disk; then the folder is brought to the disk, too. Where the block raises, the temporary file is removed and
    an older ``path`` stays as it was. A process that is killed leaves its temporary file behind: see
    :func:`remove_leftovers`.

    Args:
        path: the file; its folder is made where it does not exist. The file's permissions follow the caller's umask.
        binary: whether to write bytes; else text, UTF-8, with line ends as written.

    Yields:
        The open file to write to.

    Raises:
        BundleError: when the system refuses to write, as where the folder may not be written or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        # Mode x: never follows or overwrites what already has the name; the rights are those of any new file.
        with temporary.open("xb") if binary else temporary.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written ({error.strerror or error}): check the folder, its permissions and the space on "
            "the disk."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def remove_leftovers(folder: Path | str) -> None:
    """Remove the temporary files that killed processes have left in a folder; nobody may be writing into it.

    Args:
        folder: the folder; it need not exist.
    """
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can; the files' content is there already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
