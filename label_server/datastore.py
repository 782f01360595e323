"""The study as MONAI Label's data store: its lists and its routes, over what the study knows and saves."""

import copy
import fnmatch
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, LocalDatastore
from monailabel.interfaces.exception import ImageNotFoundException

from bundle.errors import ConfigError, ImageError
from bundle.io.formats import IMAGE_SUFFIXES, image_suffix
from bundle.io.radiographs import read_radiograph
from bundle.writers.files import safe_image_id
from study.annotations import LABEL_SUFFIX, ORIGINAL, AnnotatedImage
from study.folder import Study, copied_as


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
        self.study = Study(folder, model_names)
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
        return self.study.annotated()

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
        with copied_as(image_filename, f"{image_id}{suffix}") as path:
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
        self.image_file(image_id)
        given = str(label_info.get("replaces") or "")
        with self.changing:
            by = str(label_info.get("client_id") or "")
            self.study.save_file(image_id, Path(label_filename), label_tag, given, by)
            return self._listed(image_id, label_tag, label_info)

    def save_prediction(self, image_id: str, points: Path, info: dict[str, Any]) -> str:
        """Save what a model found: apart from what people annotate, in place of what a model found before."""
        with self.changing:
            self.study.save_prediction(image_id, points.read_bytes())
            return self._listed(image_id, ORIGINAL, info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take an annotation out of the study; its file is kept among the replaced ones."""
        with self.changing:
            self.study.remove(label_id, label_tag)
            self.refresh()

    def _listed(self, image_id: str, tag: str, info: dict[str, Any]) -> str:
        """Note an annotation that was saved in MONAI Label's own list."""
        noted = {**info, "ts": int(time.time()), "name": self.study.label_file(image_id, tag).name}
        self._datastore.objects[image_id].labels[tag] = DataModel(info=noted, ext=LABEL_SUFFIX)
        self._update_datastore_file()
        return image_id
