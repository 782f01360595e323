"""The study folder: radiographs of every format, and point lists that are checked before they are saved."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException

from bundle.errors import BundleError, ConfigError, ImageError, LandmarkError
from bundle.io.formats import IMAGE_SUFFIXES, image_suffix
from bundle.io.radiographs import read_radiograph
from bundle.writers.atomic import atomic_file
from bundle.writers.naming import safe_image_id
from bundle.writers.slicer_markups import annotation_document
from label_server.annotations import (
    FINAL,
    AnnotatedImage,
    check_annotation,
    is_point_list,
    version_of,
)

#: The ending under which every annotation is kept, as a point list of 3D Slicer.
LABEL_SUFFIX = ".mrk.json"

#: The endings under which one may come.
LABEL_SUFFIXES = (LABEL_SUFFIX, ".json", ".csv")

#: The tag of what a model found.
ORIGINAL = DefaultLabelTag.ORIGINAL.value

#: The folder, in that of a tag, for annotations that were replaced or removed.
REPLACED = "replaced"

#: In lower case alone: some systems take ``Final`` for the folder ``final``.
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class NotReplaced(BundleError):
    """An annotation that would replace another one than the client has seen.

    Args:
        image_id: the image.
        version: the version of the annotation that is there.
        given: the version that the client has seen; empty where it gave none.
    """

    def __init__(self, image_id: str, version: str, given: str) -> None:
        self.version, self.given = version, given
        was = f"replaces version {given}, but" if given else "names no version, and"
        super().__init__(
            f"the annotation of {image_id} {was} version {version or 'none'} is there: look at that one with GET "
            f'/datastore/label, and send yours again with If-Match: "{version}" to replace it.'
            if version
            else f"the annotation of {image_id} replaces version {given}, but there is none: send it without If-Match."
        )


class StudyDatastore(LocalDatastore):
    """MONAI Label's local data store for radiographs and landmarks.

    Args:
        folder: the study folder, with the images in it, not in subfolders.
        model_names: the landmark names of the trained model, or None where there is none.
        auto_reload: whether files that appear or vanish are noticed.
        read_only: whether the folder is left as it is at the start.
    """

    def __init__(
        self,
        folder: str,
        model_names: Callable[[], tuple[str, ...] | None],
        auto_reload: bool = True,
        read_only: bool = False,
    ) -> None:
        self.model_names = model_names
        self.changing = threading.RLock()
        endings = [f"*{case}" for suffix in IMAGE_SUFFIXES for case in (suffix, suffix.upper())]
        super().__init__(
            folder, extensions=[*endings, f"*{LABEL_SUFFIX}"], auto_reload=auto_reload, read_only=read_only
        )

    def _to_id(self, file: str) -> tuple[str, str]:
        """An image's id is its name without the image ending; MONAI Label's own takes off everything from a dot on."""
        suffix = LABEL_SUFFIX if file.lower().endswith(LABEL_SUFFIX) else image_suffix(file)
        return file[: len(file) - len(suffix)], file[len(file) - len(suffix) :]

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """Images where the images are, annotations where those are."""
        of_images = Path(path).resolve() == Path(self._datastore.image_path()).resolve()
        wanted = [pattern for pattern in patterns if (pattern == f"*{LABEL_SUFFIX}") != of_images]
        files = sorted(file.name for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("."))
        return {name: name for pattern in wanted for name in fnmatch.filter(files, pattern)}

    def _reconcile_datastore(self) -> None:
        """Bring the lists up to date on a draft: MONAI Label's own empties them while others read."""
        with self.changing:
            draft = copy.copy(self)
            draft._datastore = self._datastore.model_copy(deep=True)
            super(StudyDatastore, draft)._reconcile_datastore()
            self._datastore, self._config_ts = draft._datastore, draft._config_ts
            self._ignore_event_config = draft._ignore_event_config

    def _on_modify_event(self, event: Any) -> None:
        """Another process has written the lists."""
        with self.changing:
            super()._on_modify_event(event)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """See :class:`monailabel.interfaces.datastore.Datastore`."""
        with self.changing:
            super().update_image_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """See :class:`monailabel.interfaces.datastore.Datastore`."""
        with self.changing:
            super().update_label_info(label_id, label_tag, info)

    def has_file(self, image_id: str) -> bool:
        """Whether an image of the list is there, too."""
        path = self.get_image_uri(image_id)
        return bool(path) and Path(path).is_file()

    def image_file(self, image_id: str) -> Path:
        """The file of an image.

        Raises:
            ImageNotFoundException: when the study has no such image.
        """
        path = self.get_image_uri(image_id)
        if not self.has_file(image_id):
            raise ImageNotFoundException(
                f"there is no image {image_id!r} in the study: GET /datastore/?output=all lists those that there are."
            )
        return Path(path)

    def annotated(self) -> list[AnnotatedImage]:
        """The images with a finished annotation, those saved first in front."""
        found = []
        for image_id, entry in list(self._datastore.objects.items()):
            label = entry.labels.get(FINAL)
            if label is not None:
                found.append((label.info.get("ts", 0), image_id))
        return [
            AnnotatedImage(image_id, Path(self.get_image_uri(image_id)), Path(self.get_label_uri(image_id, FINAL)))
            for _, image_id in sorted(found)
        ]

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add a radiograph that a client sent.

        Raises:
            ConfigError: when the id cannot be a file name, or the study has such an image already.
            ImageError: when the file is no radiograph, or its name has no ending of one.
        """
        if not image_id or safe_image_id(image_id) != image_id or image_id.startswith("."):
            raise ConfigError(
                f"image is {image_id!r}, expected an id that can be a file name: send it as "
                f"{safe_image_id(image_id or 'image')!r}."
            )
        suffix = image_suffix(image_filename)
        if not suffix:
            raise ImageError(
                f"the image {image_id} came without a known ending: name the file with one of "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        with _named(image_filename, f"{image_id}{suffix}") as path:
            read_radiograph(path)
        with self.changing:
            # The system decides which names are the same; a link that leads nowhere is one, too.
            if self.get_image_uri(image_id) or os.path.lexists(Path(self._datastore.image_path(), image_id + suffix)):
                raise ConfigError(f"the study has an image {image_id!r}, which is never replaced: choose another id.")
            return super().add_image(image_id, image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save an annotation, once it is known to fit the image and the other annotations.

        A point list of 3D Slicer is kept as it came; landmarks in pixels become one.

        Args:
            image_id: the image.
            label_filename: the file.
            label_tag: the tag.
            label_info: what is noted beside it; ``replaces`` is the version of the annotation that it replaces.

        Raises:
            ImageNotFoundException: when the study has no such image.
            ConfigError: when the tag cannot be a folder's name.
            LandmarkError: when the point list cannot be used; an earlier one then stays.
            ImageError: when the image cannot be read.
            NotReplaced: when another annotation is there than ``replaces`` says.
        """
        image = self.image_file(image_id)
        if not _TAG.fullmatch(label_tag):
            raise ConfigError(
                f"tag is {label_tag!r}, expected up to 64 small letters, digits, - and _: leave it out for final."
            )
        suffix = next((known for known in LABEL_SUFFIXES if label_filename.lower().endswith(known)), None)
        if suffix is None:
            raise LandmarkError(
                f"the annotation came as {''.join(Path(label_filename).suffixes) or 'a file without an ending'}, but a "
                "point list of 3D Slicer was expected: send the markups as a .mrk.json file."
            )
        with self.changing:
            with _named(label_filename, f"annotation{suffix}") as path:
                found, radiograph = check_annotation(path, image, self._expected_names(image_id))
                content = path.read_bytes()
                if not is_point_list(path):
                    content = json.dumps(annotation_document(found, radiograph, image_id), indent=2).encode()
            label = self._label_file(image_id, label_tag)
            there, given = version_of(label) if label.is_file() else "", str(label_info.get("replaces") or "")
            if there != given:
                raise NotReplaced(image_id, there, given)
            return self._write(image_id, label_tag, content, label_info)

    def save_prediction(self, image_id: str, points: Path, info: dict[str, Any]) -> str:
        """Save what a model found: apart from what people annotate, in place of what a model found before."""
        with self.changing:
            return self._write(image_id, ORIGINAL, points.read_bytes(), info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take an annotation out of the study; its file is kept among the replaced ones."""
        with self.changing:
            label = Path(self.get_label_uri(label_id, label_tag))
            if label.is_file():
                _keep(label, label_id)
                label.unlink()
            self.refresh()

    def _label_file(self, image_id: str, tag: str) -> Path:
        return Path(self._datastore.label_path(tag), f"{image_id}{LABEL_SUFFIX}")

    def _write(self, image_id: str, tag: str, content: bytes, info: dict[str, Any]) -> str:
        """Write an annotation as a whole, and keep the one that was there; MONAI Label's own is overwritten."""
        label = self._label_file(image_id, tag)
        if label.is_file():
            _keep(label, image_id)
        with atomic_file(label, binary=True) as file:
            file.write(content)
        noted = {**info, "ts": int(time.time()), "name": label.name}
        self._datastore.objects[image_id].labels[tag] = DataModel(info=noted, ext=LABEL_SUFFIX)
        self._update_datastore_file()
        return image_id

    def _expected_names(self, image_id: str) -> dict[str, tuple[str, ...]]:
        """Whose names a new annotation of an image must have: those of another annotation, else of the model.

        The only annotated image may get other names: that is how a user changes the set of landmarks.
        """
        annotated = self.annotated()
        for other in annotated:
            if other.image_id != image_id:
                return {f"the annotation of {other.image_id}": point_names(other.label)}
        names = None if annotated else self.model_names()
        return {} if names is None else {"the trained model": names}


def point_names(label: Path) -> tuple[str, ...]:
    """The landmark names in a saved point list.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    return tuple(point["label"].strip() for point in _control_points(label))


def all_placed(label: Path) -> bool:
    """Whether every landmark in a saved point list has a position.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    return all(point.get("positionStatus", "defined") == "defined" for point in _control_points(label))


def _control_points(label: Path) -> list[dict[str, Any]]:
    """The points of a list that was checked when it was saved."""
    try:
        markups = json.loads(label.read_text(encoding="utf-8-sig"))["markups"]
        (points,) = [markup for markup in markups if markup["type"] == "Fiducial"]
        return list(points["controlPoints"])
    except (OSError, ValueError, KeyError, TypeError):
        raise LandmarkError(f"the saved annotation {label.name} is damaged: save it again or remove it.") from None


def _keep(label: Path, image_id: str) -> None:
    """Put a copy of an annotation among the replaced ones."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    with atomic_file(label.parent / REPLACED / f"{image_id}.{moment}{LABEL_SUFFIX}", binary=True) as file:
        file.write(label.read_bytes())


@contextlib.contextmanager
def _named(file: str, name: str) -> Iterator[Path]:
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
