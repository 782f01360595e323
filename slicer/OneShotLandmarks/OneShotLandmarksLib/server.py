"""What a MONAI Label server with landmarks can be asked for, one method for each request.

The routes are those of MONAI Label 0.8; what goes over them is described in ``docs/workbench.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .errors import ClientError, ConnectionFailed, Refused
from .points import Point, Result, dump, markups_document, read_markups, read_result
from .rest import Connection
from .training import Task, read_task

#: The model, the strategy and the scoring method that are taken where a server has several.
MODEL, STRATEGY, SCORING = "oneshot_landmarks", "helps_most", "radial_error"

#: The tag of an annotation that is finished.
FINAL = "final"

#: Seconds that a request may take which has the server compute or send a whole image.
INFER_SECONDS, SCORING_SECONDS, DOWNLOAD_SECONDS = 300.0, 1800.0, 300.0

_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}")


@dataclass(frozen=True)
class ServerInfo:
    """What a server has.

    Attributes:
        name: the name of its app.
        models: its models that find something.
        trainers: its models that can be trained.
        strategies: its ways to choose the next image.
        scoring: its ways to compare annotations with predictions.
        labels: the names of the landmarks; empty where the server knows none yet.
        images: how many images it has.
        annotated: how many of them have a finished annotation.
    """

    name: str
    models: tuple[str, ...]
    trainers: tuple[str, ...]
    strategies: tuple[str, ...]
    scoring: tuple[str, ...]
    labels: tuple[str, ...]
    images: int
    annotated: int


@dataclass(frozen=True)
class StoredImage:
    """An image in the server's data store.

    Attributes:
        id: its id.
        suffix: the ending of its file, with the dot; empty where it has none that is usual.
        tags: the tags of its annotations; ``final`` is a finished one.
    """

    id: str
    suffix: str
    tags: tuple[str, ...]

    @property
    def is_annotated(self) -> bool:
        """Whether it has a finished annotation."""
        return FINAL in self.tags


@dataclass(frozen=True)
class Suggestion:
    """The image whose annotation helps most.

    Attributes:
        id: its id.
        reason: why; empty where the server does not say.
    """

    id: str
    reason: str


class LabelServer:
    """A server, by what it can be asked for.

    Every method raises ``ConnectionFailed`` when no sound answer comes and ``Refused`` when the server says no.

    Args:
        connection: how to reach it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def info(self) -> ServerInfo:
        """What the server has."""
        document = self._mapping("GET", "/info/")
        if not isinstance(document.get("models"), (dict, list)):
            raise self._strange("/info/")
        store = document.get("datastore")
        store = store if isinstance(store, dict) else {}
        return ServerInfo(
            name=str(document.get("name", "")),
            models=_names(document.get("models")),
            trainers=_names(document.get("trainers")),
            strategies=_names(document.get("strategies")),
            scoring=_names(document.get("scoring")),
            labels=_names(document.get("labels")),
            images=_count(store.get("total")),
            annotated=_count(store.get("completed")),
        )

    def images(self) -> tuple[StoredImage, ...]:
        """All images of the data store, in the order of their ids."""
        objects = self._mapping("GET", "/datastore/", params={"output": "all"}).get("objects")
        if not isinstance(objects, dict):
            raise self._strange("/datastore/")
        images = []
        for image_id, entry in objects.items():
            entry = entry if isinstance(entry, dict) else {}
            image, labels = entry.get("image"), entry.get("labels")
            suffix = str(image.get("ext", "")) if isinstance(image, dict) else ""
            images.append(
                StoredImage(
                    image_id,
                    suffix if _SUFFIX.fullmatch(suffix) else "",
                    tuple(sorted(labels)) if isinstance(labels, dict) else (),
                )
            )
        return tuple(sorted(images, key=lambda image: image.id))

    def find_image(self, image_id: str) -> StoredImage:
        """The image of an id.

        Raises:
            Refused: when the server has none.
        """
        for image in self.images():
            if image.id == image_id:
                return image
        raise Refused(f"The server has no image {image_id!r}: choose one of its list.", 404)

    def download_image(self, image: StoredImage, folder: Path) -> Path:
        """Save an image.

        Args:
            image: the image.
            folder: where to; the file's name is made of letters, digits, dots, hyphens and underscores.

        Returns:
            The file.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", image.id).strip("._")[:100] or "image"
        target = folder / f"{stem}{image.suffix}"
        self.connection.download("/datastore/image", {"image": image.id}, target, DOWNLOAD_SECONDS)
        return target

    def suggest(self, strategy: str) -> Suggestion | None:
        """The image that should be annotated next, by a strategy; None where all are annotated."""
        path = f"/activelearning/{quote(strategy, safe='')}"
        document = self._mapping("POST", path, INFER_SECONDS, json={})
        image_id = document.get("id")
        return Suggestion(str(image_id), str(document.get("reason") or "")) if image_id else None

    def infer(self, model: str, image_id: str, timeout: float = INFER_SECONDS) -> Result:
        """Find the landmarks of an image of the data store.

        Raises:
            PointsError: when the answer holds no landmarks.
        """
        path, params = f"/infer/{quote(model, safe='')}", {"image": image_id, "output": "json"}
        return read_result(self.connection.ask("POST", path, timeout, params=params, data={"params": "{}"}).json())

    def save_points(self, image_id: str, points: Sequence[Point], tag: str = FINAL, replaces: str = "") -> str:
        """Save points as the annotation of an image; see :meth:`save_file`.

        Raises:
            PointsError: when they are none.
        """
        content = dump(markups_document(image_id, points)).encode()
        return self.save_file(image_id, "label.mrk.json", content, tag, replaces)

    def save_file(self, image_id: str, name: str, content: bytes, tag: str = FINAL, replaces: str = "") -> str:
        """Save a landmark file as the annotation of an image.

        Args:
            image_id: the image.
            name: the file's name, of which the ending counts.
            content: what it holds.
            tag: the tag.
            replaces: the version of the annotation that it shall replace; empty where there is none yet.

        Returns:
            The version of what was saved.

        Raises:
            Refused: when another annotation is there; the error has its ``version``.
        """
        headers = {"If-Match": f'"{replaces}"'} if replaces else {}
        params, files = {"image": image_id, "tag": tag}, {"label": (name, content)}
        return self.connection.ask("PUT", "/datastore/label", params=params, files=files, headers=headers).version

    def saved_points(self, image_id: str, tag: str = FINAL) -> tuple[tuple[Point, ...], str]:
        """The saved annotation of an image, and its version.

        Raises:
            PointsError: when it is not a point list of 3D Slicer.
        """
        answer = self.connection.ask("GET", "/datastore/label", params={"label": image_id, "tag": tag})
        return read_markups(answer.json()), answer.version

    def train(self, model: str, settings: Mapping[str, Any]) -> Task:
        """Start a training with the saved annotations; it goes on when the client is gone."""
        path = f"/train/{quote(model, safe='')}"
        task = read_task(self.connection.ask("POST", path, json=settings).json())
        if task is None:
            raise self._strange(path)
        return task

    def training(self, task_id: str = "") -> Task | None:
        """A training of the server.

        Args:
            task_id: its id; empty for the last one.

        Returns:
            The training; None where there was none since the server started.
        """
        try:
            document = self.connection.ask("GET", "/train/", params={"all": "true"}).json()
        except Refused as error:
            if error.status == 404:
                return None
            raise
        tasks = [task for task in map(read_task, document if isinstance(document, list) else []) if task is not None]
        if not task_id:
            return tasks[-1] if tasks else None
        return next((task for task in tasks if task.id == task_id), None)

    def stop_training(self) -> Task | None:
        """Stop the training that runs; None where none does."""
        return read_task(self.connection.ask("DELETE", "/train/").json())

    def scores(self, method: str, settings: Mapping[str, Any]) -> Any:
        """Compare the saved annotations with predictions; the figures as the server gives them."""
        path, params = f"/scoring/{quote(method, safe='')}", {"run_sync": "true"}
        return self.connection.ask("POST", path, SCORING_SECONDS, params=params, json=settings).json()

    def log(self, lines: int) -> str:
        """The last lines of the server's log."""
        params = {"lines": lines, "html": "false", "text": "true"}
        return self.connection.ask("GET", "/logs/", params=params).content.decode("utf-8", "replace")

    def token(self, user: str, password: str) -> str:
        """A token of MONAI Label's authentication; empty where the server asks for none.

        Raises:
            AddressError: when the password would travel over a network unencrypted.
        """
        self.connection.require_safe("The password")
        try:
            enabled = self._mapping("GET", "/auth/").get("enabled") is True
        except Refused as error:
            if error.status == 404:
                return ""
            raise
        if not enabled:
            return ""
        fields = {"username": user, "password": password, "grant_type": "password"}
        return str(self._mapping("POST", "/auth/token", data=fields).get("access_token") or "")

    def _mapping(self, method: str, path: str, timeout: float | None = None, **sent: Any) -> Mapping[str, Any]:
        document = self.connection.ask(method, path, timeout, **sent).json()
        if not isinstance(document, dict):
            raise self._strange(path)
        return document

    def _strange(self, path: str) -> ClientError:
        return ConnectionFailed(
            f"The answer of {self.connection.url}{path} is not that of MONAI Label: check the address."
        )


def choose(wanted: str, names: Sequence[str], preferred: str, what: str) -> str:
    """Choose one of what a server has.

    Args:
        wanted: the name that the user gave; empty for none.
        names: the names that the server has.
        preferred: the one that is taken where the user gave none.
        what: what is chosen, for the message.

    Returns:
        The name.

    Raises:
        Refused: when the server does not have it, or has none or several to choose from.
    """
    listed = ", ".join(names)
    if wanted:
        if wanted in names:
            return wanted
        raise Refused(f"The server has no {what} {wanted!r}: it has {listed or 'none'}.", 404)
    if preferred in names:
        return preferred
    if len(names) == 1:
        return names[0]
    raise Refused(f"The server has {f'several: {listed}' if names else 'none'} as {what}: choose one by its name.", 404)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, (dict, list)) else ()


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
