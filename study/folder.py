"""The study folder: images, annotations in MONAI Label's layout, proposals, and who changed what when."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bundle.errors import BundleError, ConfigError, ImageError, LandmarkError, one_line
from bundle.io.decoded import parse_spacing
from bundle.io.formats import file_stem, image_suffix, is_own_result
from bundle.io.landmark_files import read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import Radiograph
from bundle.writers.files import atomic_file, remove_leftovers, write_json
from study.annotations import (
    DRAFT,
    FINAL,
    LABEL_SUFFIX,
    LABEL_SUFFIXES,
    ORIGINAL,
    AnnotatedImage,
    Mark,
    as_landmarks,
    check_annotation,
    file_state,
    marks_document,
    point_list,
    point_names,
    read_marks,
    version_of,
)
from study.journal import note
from study.protocol import Protocol, read_protocol

#: The folder, in that of a tag, for annotations that were replaced or removed.
REPLACED = "replaced"

#: The folder, in that of the study, for what is neither image nor annotation.
OWN = "workbench"

#: Tags of what no person finished: it is replaced without a trace.
UNKEPT = re.compile(rf"{DRAFT}(-.*)?|{ORIGINAL}")

#: Far more than a point list of thousands of landmarks needs.
MAX_BYTES = 20_000_000

#: In lower case alone: some systems take ``Final`` for the folder ``final``.
TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class NoSuchImage(ImageError):
    """An image that the study does not have, or no longer."""


class NotReplaced(BundleError):
    """An annotation that would replace another one than its author has seen.

    Args:
        image_id: the image.
        version: the version of the annotation that is there; empty where there is none.
        given: the version that the author has seen; empty where there was none.
    """

    def __init__(self, image_id: str, version: str, given: str) -> None:
        self.version, self.given = version, given
        was = f"replaces version {given}, but" if given else "names no version, and"
        there = f"version {version} is there" if version else "there is none any more"
        super().__init__(
            f"the annotation of {image_id} {was} {there}: somebody else has changed it; look at the present one first."
        )


class Study:
    """A folder of radiographs with all that is known of them; several programs may work on it at once.

    What people saved is replaced only by who names its version, and is kept among the replaced ones.

    Args:
        folder: the folder, with the images in it, not in subfolders.
        model_names: the landmark names of the trained model, or None where there is none.
    """

    def __init__(self, folder: str | Path, model_names: Callable[[], tuple[str, ...] | None] = lambda: None) -> None:
        self.folder = Path(folder)
        self.own = self.folder / OWN
        self.model_names = model_names
        self._threads = threading.RLock()
        self._images: tuple[int, dict[str, Path]] | None = None
        self._spacings: tuple[int, dict[str, list[float]]] | None = None
        self._geometry = functools.lru_cache(maxsize=4096)(_read_geometry)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While something is changed: one thread of one program at a time.

        Raises:
            BundleError: when the folder may not be written.
        """
        with self._threads:
            try:
                self.own.mkdir(exist_ok=True)
                lock = FileLock(self.own / ".lock", timeout=30)
                lock.acquire()
            except OSError as error:  # filelock's Timeout is one, too
                reason = error.strerror or "another program keeps it locked"
                raise BundleError(
                    f"the study {self.folder} cannot be changed ({reason}): check its permissions and the space on the "
                    "disk."
                ) from error
            try:
                yield
            finally:
                lock.release()

    @property
    def journal(self) -> Path:
        """The file in which every change is noted."""
        return self.own / "journal.jsonl"

    def images(self) -> dict[str, Path]:
        """The image files by their id, which is the name without the ending of the format; sorted by name.

        Raises:
            BundleError: when the folder cannot be read.
        """
        try:
            changed = self.folder.stat().st_mtime_ns
            if self._images is None or self._images[0] != changed:
                self._images = changed, _images_in(sorted(self.folder.iterdir()))
        except OSError as error:
            raise ImageError(f"the study {self.folder} cannot be read ({error.strerror}): check the folder.") from error
        return self._images[1]

    def image_file(self, image_id: str) -> Path:
        """The file of an image.

        Raises:
            NoSuchImage: when the study has no such image, or no longer.
        """
        path = self.images().get(image_id)
        if path is None or not path.is_file():
            raise NoSuchImage(f"there is no image {image_id!r} in the study: it was removed, or never there.")
        return path

    def radiograph(self, image_id: str) -> Radiograph:
        """An image as it is matched, with the pixel size that people gave it.

        Raises:
            ImageError: when there is no such image, or it cannot be read.
        """
        return read_radiograph(self.image_file(image_id), self.spacings().get(image_id))

    def geometry(self, image_id: str) -> Radiograph:
        """Size and geometry of an image, whose pixels are all 0; remembered, for it takes reading the image.

        Raises:
            ImageError: when there is no such image, or it cannot be read.
        """
        path = self.image_file(image_id)
        found = self._geometry(path, file_state(path))
        given = parse_spacing(self.spacings().get(image_id))
        return found if given is None else replace(found, spacing=given, spacing_source="config")

    def protocol(self) -> Protocol | None:
        """What is to be annotated; None where nobody has said so and nothing is annotated.

        Raises:
            BundleError: when the file is damaged.
        """
        path = self.own / "protocol.json"
        if path.is_file():
            return read_protocol(path)
        names = next((point_names(case.label) for case in self.annotated()), None) or self.model_names()
        return Protocol.of(names) if names else None

    def save_protocol(self, protocol: Protocol) -> None:
        """Say what is to be annotated.

        Raises:
            ConfigError: when images are annotated with other landmarks.
            BundleError: when the study cannot be changed.
        """
        with self.changing():
            for case in self.annotated():
                names = point_names(case.label)
                if set(names) != set(protocol.names):
                    raise ConfigError(
                        f"the annotation of {case.image_id} has {len(names)} landmarks with other names than these "
                        f"{len(protocol.names)}: keep the names, or remove the annotations first."
                    )
            write_json(self.own / "protocol.json", protocol.model_dump(by_alias=True))
            note(self.journal, "protocol", landmarks=len(protocol.names))

    def spacings(self) -> dict[str, list[float]]:
        """Millimetres per pixel ``(x, y)`` that people gave to images, by id."""
        path = self.own / "spacings.json"
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        if self._spacings is None or self._spacings[0] != changed:
            self._spacings = changed, read_own(path)
        return self._spacings[1]

    def save_spacing(self, image_id: str, millimetres: float, others: bool = False) -> list[str]:
        """Say how wide a pixel of an image is; how high it is then follows.

        Args:
            image_id: the image.
            millimetres: the width.
            others: whether it is that of all images, too, whose pixel size nobody knows, or was given as the one that
                this image has had: it was set together with this one.

        Returns:
            The images that it was given to.

        Raises:
            ConfigError: when it is no possible size.
            ImageError: when there is no such image, or it cannot be read.
            BundleError: when the study cannot be changed.
        """
        parse_spacing(millimetres)
        geometries, before = {image_id: self.geometry(image_id)}, self.spacings()
        width = before.get(image_id, [None])[0]
        for other in self.images() if others else ():
            with contextlib.suppress(ImageError):  # whoever opens it hears of it
                found = self.geometry(other)
                if found.spacing is None or (other in before and before[other][0] == width):
                    geometries[other] = found
        sizes = {name: one.pixel_size for name, one in geometries.items()}
        given = {name: [millimetres, millimetres * high / wide] for name, (wide, high) in sizes.items()}
        with self.changing():
            write_json(self.own / "spacings.json", {**self.spacings(), **given})
            note(self.journal, "spacing", images=list(given), millimetres=millimetres)
        return list(given)

    def annotated(self, tag: str = FINAL) -> list[AnnotatedImage]:
        """The images with an annotation, those saved first in front."""
        images, found = self.images(), []
        with contextlib.suppress(FileNotFoundError):
            for label in (self.folder / "labels" / tag).iterdir():
                image = images.get(label.name.removesuffix(LABEL_SUFFIX))
                if image is not None and label.name.endswith(LABEL_SUFFIX):
                    with contextlib.suppress(FileNotFoundError):
                        found.append((label.stat().st_mtime_ns, label.name, image, label))
        return [
            AnnotatedImage(name.removesuffix(LABEL_SUFFIX), image, label) for _, name, image, label in sorted(found)
        ]

    def label_file(self, image_id: str, tag: str = FINAL) -> Path:
        """Where the annotation of an image is, or would be."""
        return self.folder / "labels" / tag / f"{image_id}{LABEL_SUFFIX}"

    def version(self, image_id: str, tag: str = FINAL) -> str:
        """The version of an annotation; empty where there is none."""
        label = self.label_file(image_id, tag)
        try:
            return version_of(label)
        except OSError:
            return ""

    def marks(self, image_id: str, tag: str = FINAL) -> list[Mark] | None:
        """The landmarks of an annotation with their states; None where there is none.

        Raises:
            BundleError: when the annotation or its image cannot be read.
        """
        label = self.label_file(image_id, tag)
        return read_marks(label, self.geometry(image_id)) if label.is_file() else None

    def save_marks(self, image_id: str, marks: Sequence[Mark], tag: str, replaces: str, by: str = "") -> str:
        """Save landmarks with their states.

        Args:
            image_id: the image.
            marks: its landmarks; with the tag of a draft, none of them need have a position.
            tag: the tag.
            replaces: the version of the annotation that this one replaces; empty for none.
            by: who saves, for the journal.

        Returns:
            The new version.

        Raises:
            NotReplaced: when another annotation is there than ``replaces`` says.
            BundleError: when the image is gone or the study cannot be changed.
        """
        radiograph = self.geometry(image_id)
        if not UNKEPT.fullmatch(tag):
            check_annotation(as_landmarks(marks), radiograph, self.expected_names(image_id))
            if any(mark.state == "open" for mark in marks):
                raise LandmarkError(
                    f"not every landmark of {image_id} is placed: place the others, or say that they are absent or not "
                    "visible."
                )
        content = marks_document(marks, radiograph, image_id)
        with self.changing():
            return self._write(image_id, tag, content, replaces, by)

    def save_file(self, image_id: str, file: Path, tag: str, replaces: str, by: str = "") -> str:
        """Save an annotation that came as a file, once it is known to fit the image and the other annotations.

        A point list of 3D Slicer is kept as it came; landmarks in pixels become one.

        Args:
            image_id: the image.
            file: the file.
            tag: the tag.
            replaces: the version of the annotation that this one replaces; empty for none.
            by: who saves, for the journal.

        Returns:
            The new version.

        Raises:
            NoSuchImage: when the study has no such image.
            ConfigError: when the tag cannot be a folder's name.
            LandmarkError: when the point list cannot be used; an earlier one then stays.
            ImageError: when the image cannot be read.
            NotReplaced: when another annotation is there than ``replaces`` says.
        """
        image = self.image_file(image_id)
        if not TAG.fullmatch(tag):
            raise ConfigError(
                f"tag is {tag!r}, expected up to 64 small letters, digits, - and _: leave it out for final."
            )
        suffix = next((known for known in LABEL_SUFFIXES if file.name.lower().endswith(known)), None)
        if suffix is None:
            raise LandmarkError(
                f"the annotation came as {''.join(file.suffixes) or 'a file without an ending'}, but a point list of "
                "3D Slicer was expected: send the markups as a .mrk.json file."
            )
        if file.stat().st_size > MAX_BYTES:
            raise LandmarkError(f"the annotation has more than {MAX_BYTES // 10**6} MB: send one point list.")
        radiograph = read_radiograph(image)
        with self.changing():
            with copied_as(file, f"annotation{suffix}") as path:
                found = read_landmarks(path, radiograph)
                check_annotation(found, radiograph, self.expected_names(image_id))
                content = point_list(path, found, radiograph, image_id)
            return self._write(image_id, tag, content, replaces, by)

    def save_prediction(self, image_id: str, content: bytes) -> str:
        """Save the point list that a model found: apart from what people annotate, in place of what was there."""
        with self.changing():
            return self._write(image_id, ORIGINAL, content, self.version(image_id, ORIGINAL))

    def remove(self, image_id: str, tag: str = FINAL, by: str = "") -> None:
        """Take an annotation out of the study; what a person finished is kept among the replaced ones."""
        with self.changing():
            label = self.label_file(image_id, tag)
            if image_id == Path(image_id).name and label.is_file():
                if not UNKEPT.fullmatch(tag):
                    _keep(label, image_id)
                    note(self.journal, "removed", image=image_id, tag=tag, by=by)
                label.unlink()

    def remove_leftovers(self) -> None:
        """Remove what killed programs have left half written.

        Raises:
            BundleError: when the study cannot be changed.
        """
        with self.changing():  # so nobody is writing
            for folder in (self.own, *(self.folder / "labels").glob("**/")):
                remove_leftovers(folder)

    def expected_names(self, image_id: str) -> dict[str, tuple[str, ...]]:
        """Whose names an annotation of an image must have: the protocol's, another annotation's, or the model's.

        Without a protocol the only annotated image may get other names: that changes the set of landmarks.
        """
        if (self.own / "protocol.json").is_file():
            return {"the study's protocol": read_protocol(self.own / "protocol.json").names}
        annotated = self.annotated()
        for other in annotated:
            if other.image_id != image_id:
                return {f"the annotation of {other.image_id}": point_names(other.label)}
        names = None if annotated else self.model_names()
        return {} if names is None else {"the trained model": names}

    def _write(self, image_id: str, tag: str, content: bytes, replaces: str, by: str = "") -> str:
        """Write an annotation as a whole, and keep the one that was there where people may have made it."""
        label, there = self.label_file(image_id, tag), self.version(image_id, tag)
        if there != replaces:
            raise NotReplaced(image_id, there, replaces)
        finished = not UNKEPT.fullmatch(tag)
        if label.is_file() and finished:
            _keep(label, image_id)
        with atomic_file(label, binary=True) as file:
            file.write(content)
        version = version_of(label)
        if finished:
            note(self.journal, "saved", image=image_id, tag=tag, version=version, by=by)
        return version


def _images_in(files: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        if image_suffix(file.name) and not file.name.startswith(".") and not is_own_result(file):
            found.setdefault(file_stem(file.name), file)
    return found


def read_own(path: Path) -> dict[str, Any]:
    """A file of JSON that the study wrote; nothing where it is not there.

    Raises:
        BundleError: when somebody damaged it.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({one_line(str(error))}): mend or remove it.") from None


def _read_geometry(path: Path, state: tuple[Any, ...]) -> Radiograph:
    found = read_radiograph(path)
    return replace(found, pixels=np.broadcast_to(np.float32(0), found.pixels.shape))


def _keep(label: Path, image_id: str) -> None:
    """Put a copy of an annotation among the replaced ones."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    with atomic_file(label.parent / REPLACED / f"{image_id}.{moment}{LABEL_SUFFIX}", binary=True) as file:
        file.write(label.read_bytes())


@contextlib.contextmanager
def copied_as(file: str | Path, name: str) -> Iterator[Path]:
    """A copy of a received file under a name that a user knows: messages then speak of that, not of a temporary file.

    Args:
        file: the file.
        name: the name of the copy.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(shutil.copy(file, Path(folder) / name))
        except BundleError as error:
            raise type(error)(str(error).replace(f"{folder}/", "")) from error
