"""What a run has done, image by image, so that a killed one goes on; and how the ranks of a run put it together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, overload

import ignite.distributed as idist
import numpy as np

from bundle import __version__
from bundle.data.cases import Cases
from bundle.data.readable import Failures
from bundle.errors import BundleError, ConfigError
from bundle.ranks import from_first, is_first, of_all, refuse_uninvited_ranks

try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None  # type: ignore[assignment]

_PATTERN = "journal-*.jsonl"

#: Where a row is: its file, and the byte at which its line starts.
_Place = tuple[Path, int]


class JournalRows(Sequence[dict[str, Any]]):
    """Rows of journals, read when they are asked for, so that they take no memory.

    Args:
        places: where each row is. The files must be there as long as rows are read.
    """

    def __init__(self, places: Sequence[_Place] = ()) -> None:
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> JournalRows: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | JournalRows:
        if isinstance(index, slice):
            return JournalRows(self._places[index])
        return next(iter(JournalRows([self._places[index]])))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            files: dict[Path, IO[bytes]] = {}
            for path, start in self._places:
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb"))
                files[path].seek(start)
                row = _parse(files[path].readline())
                row.pop("item", None)
                yield row


class Journal:
    """The finished images of a run, in one file a rank: ``journal-<rank>.jsonl`` in the folder of the results.

    Each file starts with the fingerprint of everything that all results depend on, and each line is one image, with a
    fingerprint of the image's own data. Lines are appended in one piece; one that a killed process left half written
    is passed over. A second start uses what fits, whatever the number of ranks of the first; a journal of another run
    is removed. The files are gone once the run is complete. Of the rows only their places are kept in memory.

    Every rank must make its journal, and call :meth:`open` and :meth:`merge`: they exchange what they know.

    Args:
        folder: the folder of the results, which all ranks share.
        cases: the images of the run.
        settings: everything else that the results depend on, as JSON values.

    Attributes:
        remaining: the items of the cases that this rank has to do.
        done: how many images an earlier run has done.

    Raises:
        ConfigError: when several processes were started without the overlay that makes them a group.
        BundleError: when an earlier journal cannot be read.
    """

    def __init__(self, folder: str | Path, cases: Cases, settings: Mapping[str, Any]) -> None:
        refuse_uninvited_ranks()
        self.folder = Path(folder)
        self.cases = cases
        document = json.dumps({"version": __version__, **settings}, sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(document.encode()).hexdigest()
        self._items = {item["image_id"]: item for item in cases.items}
        self._file: IO[bytes] | None = None
        self._old: dict[Path, int] = {}
        self._counted: dict[Path, int] = {}
        self._new = 0
        try:
            self._earlier: dict[str, _Place] = self._find_earlier() if is_first() else {}
        except OSError as error:
            raise BundleError(
                f"{error.filename or self.folder} cannot be read ({error.strerror or error}): check the folder of the "
                "results and its permissions."
            ) from error
        done = set(from_first(list(self._earlier)))
        self.done = len(done)
        left = [item for item in cases.items if item["image_id"] not in done]
        self.remaining = left[idist.get_rank() :: idist.get_world_size()]
        if is_first():
            if self.done:
                print(f"continuing: {self.done} of {len(cases.items)} images are done already")
            if any(self._fingerprint_of(path) for path in self._foreign()):
                print(f"{self.folder} has the journal of a run with other settings, which is not used")

    @property
    def path(self) -> Path:
        """The file of this rank."""
        return self.folder / f"journal-{idist.get_rank()}.jsonl"

    def earlier(self, key: str) -> np.ndarray:
        """One entry of all images that an earlier run has done, stacked, in the order of the cases.

        Rank 0 has them; the others have none, so that whatever gathers over ranks counts each image once.
        """
        rows = [row[key] for row in JournalRows(self._in_order(self._earlier))]
        return np.array(rows, dtype=np.float64)

    def is_done(self, image_id: str) -> bool:
        """Whether an earlier run has done an image; known to rank 0."""
        return image_id in self._earlier

    def claim(self) -> None:
        """Take the journal of this rank for this run alone, for as long as it is open.

        Raises:
            BundleError: when the system refuses to write.
            ConfigError: when another run writes into the folder, or there is nothing to do.
        """
        self.cases.require()
        if self._file is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # No buffer: a line is in the file, or the error is here. A link is not followed: it could lead anywhere.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.fdopen(os.open(self.path, flags, 0o666), "ab", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                self._file = None
                raise ConfigError(
                    f"output_dir {self.folder} is in use by another run: wait until that has ended, end it, or choose "
                    "another folder."
                ) from None
            except OSError:  # a file system without locks
                pass

    def release(self, error: BaseException) -> None:
        """Give the journal back when a run is interrupted, so that the same process, a notebook, can go on with it.

        Raises:
            BaseException: the error that interrupted the run.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        raise error

    def open(self) -> None:
        """Make ready for :meth:`append`; the folder is made where it does not exist.

        Raises:
            BundleError: when the system refuses to write.
            ConfigError: when another run writes into the folder, or the ranks have not one folder in common.
        """
        self.claim()
        try:
            if is_first():
                # Each rank empties its own, which it may have taken already.
                own = {self.folder / f"journal-{index}.jsonl" for index in range(idist.get_world_size())}
                for path in self._foreign():
                    if path not in own:
                        path.unlink(missing_ok=True)
            idist.barrier()
            if self._fingerprint_of(self.path) == self.fingerprint:
                self._write("\n")  # ends a line that a killed process left half written
            else:
                os.truncate(self.path, 0)
                self._write(json.dumps({"fingerprint": self.fingerprint}) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        idist.barrier()
        if is_first() and (
            absent := [i for i in range(idist.get_world_size()) if not (self.folder / f"journal-{i}.jsonl").is_file()]
        ):
            raise ConfigError(
                f"output_dir {self.folder} is not the same folder for all ranks, what rank {absent[0]} writes there "
                "does not appear: choose a folder that all machines share."
            )

    def append(self, image_id: str, row: Mapping[str, Any]) -> None:
        """Note that an image is done.

        Args:
            image_id: the image.
            row: what :meth:`merge` shall give back, as JSON values; numbers come back to the last bit.

        Raises:
            BundleError: when the system refuses to write.
        """
        item = self._items[image_id]
        try:
            self._write(json.dumps({"image_id": image_id, "item": _item_digest(item), **row}) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def count_new(self) -> int:
        """How many images all ranks together have done since the start; cheap, for it reads only what is new."""
        for path in self.folder.glob(_PATTERN):
            with path.open("rb") as file:
                file.seek(self._counted.get(path, self._old.get(path, 0)))
                whole, _, torn = file.read().rpartition(b"\n")
                self._counted[path] = file.tell() - len(torn)
            self._new += sum(line.startswith(b'{"image_id"') for line in whole.splitlines())
        return self._new

    def merge(self, failures: Failures) -> tuple[JournalRows, Failures]:
        """Put together what all ranks have done, in this run and in earlier ones.

        Args:
            failures: the files that this rank could not use.

        Returns:
            the rows of :meth:`append`, with ``image_id``, in the order of the cases, on rank 0 (none on the others),
            to be read before :meth:`remove`; and the failures of all ranks in the order of the cases, on every rank.

        Raises:
            BundleError: when rank 0 does not see all that the others have written.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        order = {str(item["image"]): index for index, item in enumerate(self.cases.items)}
        failed = [row for rows in of_all(failures.rows) for row in rows]
        failed.sort(key=lambda row: order.get(row[0], len(order)))
        rows = {**self._earlier, **self._find_new()} if is_first() else {}
        expected = sum(of_all(len(self.remaining))) + self.done - len(failed)
        if is_first() and len(rows) < expected:
            raise BundleError(
                f"{self.folder} shows the results of {len(rows)} images, but the ranks have done {expected}: wait "
                "until the shared folder is up to date and start the same command again; it then writes the tables."
            )
        return JournalRows(self._in_order(rows)), Failures(failed)

    def remove(self) -> None:
        """Remove the journals of all ranks; the run is complete."""
        for path in self.folder.glob(_PATTERN):
            path.unlink(missing_ok=True)

    def _in_order(self, places: Mapping[str, _Place]) -> list[_Place]:
        """The places in the order of the cases."""
        return [places[name] for name in self._items if name in places]

    def _write(self, text: str) -> None:
        if self._file is None:
            raise RuntimeError("the journal is not open: call open() before append().")
        left = text.encode()
        while left:  # on a disk that is nearly full, the system writes a part and then refuses the rest
            left = left[self._file.write(left) :]

    def _unwritable(self, error: OSError) -> BundleError:
        return BundleError(
            f"{self.path} cannot be written ({error.strerror or error}): check the folder, its permissions and the "
            "space on the disk."
        )

    def _fingerprint_of(self, path: Path) -> str | None:
        """The fingerprint at the head of a journal; None where there is no journal, or not even a whole head."""
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return _parse(file.readline()).get("fingerprint")

    def _foreign(self) -> list[Path]:
        """The journals of other runs."""
        return [path for path in sorted(self.folder.glob(_PATTERN)) if self._fingerprint_of(path) != self.fingerprint]

    def _find_earlier(self) -> dict[str, _Place]:
        """The rows of all journals of this run whose images are still what they were, by image id."""
        found = {}
        for path in sorted(self.folder.glob(_PATTERN)):
            if self._fingerprint_of(path) != self.fingerprint:
                continue
            for start, row, item in self._rows(path, 0):
                if row.get("item") == _item_digest(item):
                    found[row["image_id"]] = (path, start)
            self._old[path] = path.stat().st_size
        return found

    def _find_new(self) -> dict[str, _Place]:
        """The rows that this run has written, by image id."""
        return {
            row["image_id"]: (path, start)
            for path in self.folder.glob(_PATTERN)
            for start, row, _ in self._rows(path, self._old.get(path, 0))
        }

    def _rows(self, path: Path, offset: int) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
        """Rows of one journal from a place in the file on: where each starts, and the item that it is of."""
        with path.open("rb") as file:
            file.seek(offset)
            start = offset
            for line in file:
                row = _parse(line)
                name = row.get("image_id")
                item = self._items.get(name) if isinstance(name, str) else None
                if item is not None:
                    yield start, row, item
                start += len(line)


def _parse(line: bytes) -> dict[str, Any]:
    """One line; nothing where a killed process left it half written."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _item_digest(item: Mapping[str, Any]) -> str:
    """Everything that belongs to one image alone: its file as it is now, its own spacing, its truth."""
    digest = hashlib.sha256()
    for key in sorted(item):
        value = item[key]
        digest.update(f"{key}:".encode())
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode("utf-8", "replace"))
    try:
        status = Path(item["image"]).stat()
        digest.update(f"{status.st_size}:{status.st_mtime_ns}".encode())
    except (OSError, ValueError):  # the reader will say what is wrong with the file
        pass
    return digest.hexdigest()[:16]
