"""What a run has done, image by image, so that a killed one goes on; and how the ranks of a run put it together."""

import contextlib
import hashlib
import inspect
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from filelock import FileLock, Timeout
from monai.bundle import ConfigParser
from pydantic import ValidationError

from bundle import __version__
from bundle.data.cases import CHECKSUMS, Cases, ResultFolder
from bundle.data.readable import Failures
from bundle.errors import BundleError, ConfigError, ImageError, a_few, one_line
from bundle.io.radiographs import image_kind
from bundle.ranks import from_first, is_first, of_all, refuse_uninvited_ranks
from bundle.records.prediction import LandmarkPrediction
from bundle.records.validation import Foreign
from bundle.writers.files import atomic_file, output_path, remove_leftovers
from bundle.writers.image_files import ENDINGS
from bundle.writers.result_json import read_result, result_document

#: The folder of what a run that is not complete has to remember, in that of its results.
NOTES = ".run"


class _Note(Foreign):
    """An image that is done; ``result`` is its record, None where that is a file of the results."""

    fingerprint: str
    item: str
    seconds: float
    skipped: list[tuple[str, str]]
    files: dict[str, str]
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Finding:
    """What is known of an image that is done.

    Attributes:
        prediction: what was found in it, as it is written.
        seconds: how long that took.
        skipped: writers that had nothing to write, each with the reason.
    """

    prediction: LandmarkPrediction
    seconds: float
    skipped: Sequence[tuple[str, str]] = ()


class Journal:
    """The finished images of a run: a note of each in the folder ``.run`` of the results.

    A note holds the fingerprints of everything that the results depend on, of the image's own data and of its files,
    and the record of the image where no file of the results holds that. It is written before these files: an image is
    done when they are there and are those of the note. A file that a run has written, and that is not what any run
    wrote, was changed by somebody; it is never written over. A second start uses the notes that fit, whatever the
    number of ranks of the first. When the run is complete, only the fingerprints of its files stay.

    Every rank must make its journal, and call :meth:`open` and :meth:`merge`: they exchange what they know.

    Args:
        results: the folder of the results, which all ranks share, and what the run writes there.
        cases: the images of the run.
        fingerprint: of everything else that the results depend on, see :func:`run_fingerprint`.

    Attributes:
        remaining: the items of the cases that this rank has to do.
        done: how many images an earlier run has done.
        edited: files that would be written over, though somebody has changed them; known to rank 0.
        earlier: the notes of an earlier run that this one uses, by image id; known to rank 0.

    Raises:
        ConfigError: when several processes were started without the overlay that makes them a group.
        BundleError: when an earlier journal cannot be read.
    """

    def __init__(self, results: ResultFolder, cases: Cases, fingerprint: str) -> None:
        refuse_uninvited_ranks()
        self.results = results
        self.cases = cases
        self.fingerprint = fingerprint
        self.folder = results.path / NOTES
        self.edited: list[str] = []
        self._lock = FileLock(self.folder / "lock", timeout=0)
        self._digests = {item["image_id"]: item_digest(item) for item in cases.items}
        self._sums: dict[str, str] = {}
        self.earlier: dict[str, _Note] = {}
        if is_first():
            with self._understandable():
                self._look_back()
        done = set(from_first(list(self.earlier)))
        self.done = len(done)
        left = [item for item in cases.items if item["image_id"] not in done]
        self.remaining = left[idist.get_rank() :: idist.get_world_size()]

    def open(self) -> None:
        """Take the folder for this run alone, made where it does not exist, and make ready for :meth:`append`.

        What a killed run left half written, and the notes of other runs, are removed.

        Raises:
            BundleError: when the system refuses to write.
            ConfigError: when another run writes into the folder, somebody has changed what would be written over, or
                the ranks have not one folder in common.
        """
        self.cases.require()
        if self.edited:
            raise ConfigError(
                f"{self.results.path} holds {a_few(self.edited)}, changed by somebody since a run wrote it: move it "
                "elsewhere, or choose another output_dir."
            )
        if is_first():
            with self._understandable():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
                for folder in (self.results.path, self.folder):
                    remove_leftovers(folder)
                for path in self.folder.glob("*.json"):
                    if path.name.removesuffix(".json") not in self.earlier:
                        path.unlink()
                if self._sums:
                    self.results.write_checksums(self._sums)
        idist.barrier()
        if not self.folder.is_dir():
            raise ConfigError(
                f"output_dir {self.results.path} is not the same folder for all ranks, what rank 0 writes there does "
                "not appear: choose a folder that all machines share."
            )

    def release(self, error: BaseException) -> None:
        """Give the folder back when a run is interrupted, so that the same process, a notebook, can go on with it.

        Raises:
            BaseException: the error that interrupted the run.
        """
        self._lock.release()
        raise error

    def append(
        self,
        prediction: LandmarkPrediction,
        seconds: float,
        files: Mapping[str, bytes] | None = None,
        skipped: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Note that an image is done, and write its files.

        Args:
            prediction: what was found.
            seconds: how long that took.
            files: the contents of its files by the name of the writer.
            skipped: writers that had nothing to write, each with the reason.

        Raises:
            BundleError: when the system refuses to write.
        """
        contents = {
            output_path(self.results.path, prediction.image_id, ENDINGS[name]): content
            for name, content in (files or {}).items()
        }
        note = _Note(
            fingerprint=self.fingerprint,
            item=self._digests[prediction.image_id],
            seconds=seconds,
            skipped=list(skipped),
            files={path.name: hashlib.sha256(content).hexdigest() for path, content in contents.items()},
            result=None if "json" in (files or {}) else result_document(prediction),
        )
        with atomic_file(self.folder / f"{prediction.image_id}.json") as file:
            file.write(note.model_dump_json())
        for path, content in contents.items():
            with atomic_file(path, binary=True) as file:
                file.write(content)

    def count_new(self) -> int:
        """How many images all ranks together have done since the start."""
        return len(list(self.folder.glob("*.json"))) - self.done

    def merge(self, failures: Failures) -> tuple[list[Finding], Failures]:
        """Put together what all ranks have done, in this run and in earlier ones.

        Args:
            failures: the files that this rank could not use.

        Returns:
            what was found, in the order of the cases, on rank 0 (nothing on the others); and the failures of all ranks
            in the order of the cases, on every rank.

        Raises:
            BundleError: when rank 0 does not see all that the others have written.
        """
        order = {str(item["image"]): index for index, item in enumerate(self.cases.items)}
        failed = Failures(row for rows in of_all(list(failures)) for row in rows)
        failed.sort(key=lambda row: order.get(row[0], len(order)))
        expected = sum(of_all(len(self.remaining))) + self.done - len(failed)
        notes = self._notes() if is_first() else {}
        found = [self._finding(item, notes[item["image_id"]]) for item in self.cases.items if item["image_id"] in notes]
        if is_first() and len(found) < expected:
            raise BundleError(
                f"{self.results.path} shows the results of {len(found)} images, but the ranks have done {expected}: "
                "wait until the shared folder is up to date and start the same command again; it then writes the "
                "tables."
            )
        self._sums |= {name: digest for note in notes.values() for name, digest in note.files.items()}
        return found, failed

    def finish(self) -> None:
        """Keep the fingerprints of all files, and remove the notes: the run is complete."""
        tables = {name: self.results.digest(name) for name in self.results.tables}
        self.results.write_checksums({**self._sums, **tables})
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _look_back(self) -> None:
        """Find what is done, and what somebody has changed."""
        notes, known = self._notes(), self.results.read_checksums()
        names = [file.name for image_id in self._digests for file in self.results.files_of(image_id)]
        if not self.folder.is_dir():  # a run that was killed may have written tables and had no time to note them
            names += self.results.tables
        written = {name: digest for note in notes.values() for name, digest in note.files.items()}
        self._sums = {name: self.results.digest(name) for name in names if name in known or name in written}
        self.edited = [
            name for name, digest in self._sums.items() if digest not in ("", known.get(name), written.get(name))
        ]
        self.earlier = {
            image_id: note
            for image_id, note in notes.items()
            if (note.fingerprint, note.item) == (self.fingerprint, self._digests[image_id])
            and all(self._sums.get(name) == digest for name, digest in note.files.items())
        }
        if self.earlier:
            print(f"continuing: {len(self.earlier)} of {len(self.cases.items)} images are done already")
        if any(note.fingerprint != self.fingerprint for note in notes.values()):
            print(f"{self.results.path} has the journal of a run with other settings, which is not used")

    def _notes(self) -> dict[str, _Note]:
        """The notes of the run's images, of whatever run, by image id."""
        notes = {}
        for path in self.folder.glob("*.json"):
            image_id = path.name.removesuffix(".json")
            if image_id in self._digests:
                with contextlib.suppress(ValidationError):
                    notes[image_id] = _Note.model_validate_json(path.read_bytes())
        return notes

    def _finding(self, item: Mapping[str, Any], note: _Note) -> Finding:
        document = note.result
        if document is None:
            document = json.loads((self.results.path / f"{item['image_id']}{ENDINGS['json']}").read_bytes())
        return Finding(read_result(document, Path(item["image"])), note.seconds, note.skipped)

    @contextlib.contextmanager
    def _understandable(self) -> Iterator[None]:
        """Say what the system refuses in one sentence."""
        try:
            yield
        except Timeout:
            raise ConfigError(
                f"output_dir {self.results.path} is in use by another run: wait until that has ended, end it, or "
                "choose another folder."
            ) from None
        except OSError as error:
            raise BundleError(
                f"{error.filename or self.results.path} cannot be used ({error.strerror or error}): check the folder "
                "of the results, its permissions and the space on the disk."
            ) from error


def item_digest(item: Mapping[str, Any]) -> str:
    """Everything that belongs to one image alone: its file as it is now, its own spacing, its truth."""
    parts = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in sorted(item.items())}
    with contextlib.suppress(OSError, ValueError):  # the reader will say what is wrong with the file
        status = Path(item["image"]).stat()
        parts["status"] = status.st_size, status.st_mtime_ns
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def show_plan(journal: Journal) -> None:
    """Print one line for each image, with what would become of it, and a summary; rank 0 speaks for all.

    Nothing is computed and nothing is written. Of each file only the beginning is read, so a file that is damaged
    further on is not noticed.
    """
    if is_first():
        for line in _plan(journal):
            print(one_line(line))
    idist.barrier()


def _plan(journal: Journal) -> Iterator[str]:
    cases, results = journal.cases, journal.results
    count: Counter[str] = Counter()
    for item in cases.items:
        files, action = results.files_of(item["image_id"]), "would be done"
        try:
            if item["image_id"] in journal.earlier:
                action = "done already"
            elif image_kind(Path(item["image"])) and any(file.exists() for file in files):
                action = "would be done anew, replacing its files"
        except ImageError as error:
            action = f"could not be used: {error}"
        count[action.partition(":")[0]] += 1
        yield f"{item['image']} -> {', '.join(file.name for file in files) or item['image_id']}: {action}"
    left_out = {
        **cases.left_out,
        "left out, it has no true landmarks": cases.without_truth,
        "left out, it is the template": cases.template_copies,
    }
    for reason, names in left_out.items():
        count[reason] += len(names)
        yield from (f"{name}: {reason}" for name in names)
    for name in journal.edited:
        yield f"{results.path / name}: changed by somebody since a run wrote it, so that the run would not begin"
    for table in (*results.tables, CHECKSUMS):
        yield f"{results.path / table}: would be {'replaced' if (results.path / table).exists() else 'new'}"
    parts = ", ".join(f"{number} {action}" for action, number in count.items() if number)
    yield f"dry run of {len(cases.items)} image(s): {parts}; nothing was written to {results.path}"


#: The keys that change no result: where things are, for what is read is fingerprinted by its content; on what the run
#: is done; what is said and logged; what becomes of results that are there; and what MONAI adds.
WITHOUT_EFFECT = frozenset(
    {
        *(
            "bundle_root",
            "dataset_dir",
            "landmarks",
            "model_path",
            "output_dir",
            "template_image",
            "template_landmarks",
        ),
        *("calibration", "encoder_weights", "landmark_codes", "measurements"),
        *("crop_memory_gb", "device", "processes"),
        *("dry_run", "handlers", "report"),
        *("experiment_name", "is_not_rank0", "not_first", "run_name", "save_execute_config", "tracking_uri"),
        *("failure_mm", "interval_resamples", "interval_seed", "keep_images", "sdr_radii"),
        *(ConfigParser.meta_key, "command_line", "finalize", "imports", "initialize"),
    }
)


def run_fingerprint(**beside: object) -> str:
    """SHA-256 of the configuration that calls this, with overlays and command line, what it has read, and the version.

    Args:
        beside: fingerprints of what was read, by name.

    Returns:
        64 hexadecimal digits.

    Raises:
        ConfigError: when no configuration is being parsed.
    """
    return configuration_fingerprint(_configuration_in_use(), **beside)


def configuration_fingerprint(config: Mapping[str, Any], **beside: object) -> str:
    """SHA-256 of a configuration, all but the keys :data:`WITHOUT_EFFECT`; see :func:`run_fingerprint`.

    Handlers are left out in the parts of a training, too: there, ``--tracking`` adds those that log.
    """
    content = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}
    for key, part in content.items():
        if isinstance(part, Mapping):
            content[key] = {name: value for name, value in part.items() if name != "handlers"}
    document = {"configuration": content, "beside": beside, "version": __version__}
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=repr).encode()).hexdigest()


def _configuration_in_use() -> Mapping[str, Any]:
    """MONAI hands the configuration to none of the parts that it makes, so it is found by the calls that lead here."""
    for caller in inspect.stack(context=0):
        if isinstance(parser := caller.frame.f_locals.get("self"), ConfigParser):
            return parser.config  # type: ignore[return-value]  # it is the dictionary of all keys
    raise ConfigError("a run has a folder of its own by its configuration: let a configuration file make it.")
