"""What changed in a study, when and by whom: a line of JSON per change, never rewritten."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundle.errors import BundleError


def note(path: Path, action: str, **what: Any) -> None:
    """Add a line and bring it to the disk.

    Args:
        path: the journal.
        action: what was done, in one word.
        what: the image, the version that came of it and the like.

    Raises:
        BundleError: when the system refuses to write.
    """
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "action": action, **what})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The break comes first, so that it also ends a line that a killed process has left half written.
        with path.open("ab") as file:
            file.write((b"\n" if file.tell() else b"") + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written ({error.strerror or error}): check the folder, its permissions and the space on "
            "the disk."
        ) from error


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """The changes, the oldest first; a line that a killed process has left half written is none."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue
