"""A small server that speaks as the MONAI Label app does, for tests: it finds the same points on every image.

It runs in a thread on a free port of this computer and computes nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WIDTH, HEIGHT = 40, 50

#: ``(x, y, 1)`` in pixels to LPS in mm: lying as a photograph does, and standing as a chest does.
GEOMETRIES = {
    "flat": ((0.2, 0.0, 10.0), (0.0, 0.3, -20.0), (0.0, 0.0, 5.0)),
    "upright": ((0.2, 0.0, -7.0), (0.0, 0.0, 40.0), (0.0, -0.3, 12.0)),
}

#: Names, places ``(x, y)`` in pixels, confidences and expected errors in mm of what is found.
LANDMARKS = (
    ("sella", 10.25, 12.5, 0.93, 0.8),
    ("nasion", 30.0, 14.0, 0.42, 3.1),
    ("menton", 22.5, 44.75, None, None),
    ("orbitale", None, None, None, None),
)

_Answer = tuple[int, bytes, str]


class StubServer:
    """The server; use it as a context manager.

    Args:
        token: the token that every request needs; empty for none.

    Attributes:
        url: its address.
        found: the places ``(x, y)`` in pixels of the landmarks that are found.
        labels: the point lists that were saved, by image.
        requests: method and path with query of all requests so far.
        failures: answers to give instead, by ``"METHOD /path"``: status and sentence.
        outcome: how a training ends.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.found = [(x, y) for _, x, y, _, _ in LANDMARKS if x is not None and y is not None]
        self.labels: dict[str, Any] = {}
        self.requests: list[str] = []
        self.failures: dict[str, tuple[int, str]] = {}
        self.outcome = "DONE"
        self._tasks: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> _Answer:
        """The answer to one request: status, content and media type."""
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            return _refusal(401, "Not authenticated")
        if f"{method} {path}" in self.failures:
            return _refusal(*self.failures[f"{method} {path}"])
        routes: dict[str, Callable[[], _Answer]] = {
            "GET /info/": self._info,
            "GET /datastore/": self._datastore,
            "GET /datastore/image": lambda: self._image(query),
            "PUT /datastore/label": lambda: self._save(query, body, headers),
            "GET /datastore/label": lambda: self._label(query),
            "POST /infer/oneshot_landmarks": lambda: self._infer(query),
            "POST /train/oneshot_landmarks": self._train,
            "GET /train/": lambda: self._training(query),
            "DELETE /train/": self._stop,
            "POST /activelearning/helps_most": self._suggest,
            "POST /scoring/radial_error": lambda: _json(
                {"images": len(self.labels), "mre_px": 1.5, "sdr": {"2.0": 0.75}}
            ),
            "GET /logs/": lambda: (200, b"first line\nsecond line\n", "text/plain"),
            "GET /auth/": lambda: _json({"enabled": bool(self.token)}),
        }
        route = routes.get(f"{method} {path}")
        return route() if route else _refusal(404, "Not Found")

    def version(self, image: str) -> str:
        """The version of a saved point list, as the headers If-Match and ETag have it; empty where there is none."""
        content = json.dumps(self.labels[image]).encode() if image in self.labels else b""
        return f'"{hashlib.sha256(content).hexdigest()[:16]}"' if content else ""

    def _info(self) -> _Answer:
        return _json(
            {
                "name": "Stub",
                "labels": [name for name, *_ in LANDMARKS],
                "models": {"oneshot_landmarks": {}},
                "trainers": {"oneshot_landmarks": {}},
                "strategies": {"random": {}, "helps_most": {}},
                "scoring": {"radial_error": {}},
                "datastore": {"total": len(GEOMETRIES), "completed": len(self.labels)},
            }
        )

    def _datastore(self) -> _Answer:
        return _json(
            {
                "objects": {
                    image: {"image": {"ext": ".nrrd"}, "labels": {"final": {}} if image in self.labels else {}}
                    for image in GEOMETRIES
                }
            }
        )

    def _image(self, query: dict[str, str]) -> _Answer:
        if query.get("image") not in GEOMETRIES:
            return _refusal(404, "Image NOT Found")
        return 200, nrrd(query["image"]), "application/octet-stream"

    def _save(self, query: dict[str, str], body: bytes, headers: Any) -> _Answer:
        if query.get("image") not in GEOMETRIES:
            return _refusal(404, f"There is no image {query.get('image')}.")
        if headers.get("If-Match", "") != self.version(query["image"]):
            return _refusal(412, "Another annotation is there.")
        boundary = headers["Content-Type"].split("boundary=")[1].encode()
        part = next(part for part in body.split(b"--" + boundary) if b'name="label"' in part)
        self.labels[query["image"]] = json.loads(part.split(b"\r\n\r\n", 1)[1])
        return _json({"image": query["image"], "label": query["image"]})

    def _label(self, query: dict[str, str]) -> _Answer:
        if query.get("label") not in self.labels or query.get("tag") != "final":
            return _refusal(404, "Label NOT Found")
        return _json(self.labels[query["label"]])

    def _infer(self, query: dict[str, str]) -> _Answer:
        image = query.get("image", "")
        if image not in GEOMETRIES:
            return _refusal(404, f"There is no image {image}.")
        landmarks = [
            {
                "name": name,
                "x": x,
                "y": y,
                "lps": None if x is None or y is None else list(to_lps(image, x, y)),
                "confidence": confidence,
                "expected_error_mm": error,
            }
            for name, x, y, confidence, error in LANDMARKS
        ]
        result = {"image_id": image, "width": WIDTH, "height": HEIGHT, "landmarks": landmarks}
        return _json({"result": result, "label_names": {}, "latencies": {}})

    def _train(self) -> _Answer:
        if self._tasks and self._tasks[-1]["status"] == "RUNNING":
            return _refusal(429, "Train Task is Already Running")
        self._tasks.append({"id": f"task-{len(self._tasks)}", "status": "SUBMITTED", "details": []})
        return _json(self._tasks[-1])

    def _training(self, query: dict[str, str]) -> _Answer:
        """Every question brings the training one step on, of three."""
        if not self._tasks:
            return _refusal(404, "No Train Tasks Found")
        task = self._tasks[-1]
        if task["status"] in ("SUBMITTED", "RUNNING"):
            task["status"] = "RUNNING" if len(task["details"]) < 3 else self.outcome
            if task["status"] == "RUNNING":
                task["details"].append(f"epoch {len(task['details']) + 1}/3")
        return _json(self._tasks if query.get("all") == "true" else task)

    def _stop(self) -> _Answer:
        if not self._tasks or self._tasks[-1]["status"] not in ("SUBMITTED", "RUNNING"):
            return _json(None)
        self._tasks[-1]["status"] = "STOPPED"
        return _json(self._tasks[-1])

    def _suggest(self) -> _Answer:
        left = [image for image in GEOMETRIES if image not in self.labels]
        return _json({"id": left[0], "reason": "most representative"} if left else {})


def to_lps(image: str, x: float, y: float) -> tuple[float, float, float]:
    """Where a pixel ``(x, y)`` = (column, row), 0-based with centres at integers, lies in LPS and mm."""
    a, b, c = (row[0] * x + row[1] * y + row[2] for row in GEOMETRIES[image])
    return a, b, c


def nrrd(image: str) -> bytes:
    """An image of the store as a NRRD file with its geometry."""
    (a, b, c), (d, e, f), (g, h, i) = GEOMETRIES[image]
    # The third axis stands upright on the plane; how thick the slice is does not matter.
    normal = (d * h - g * e, g * b - a * h, a * e - d * b)
    length = sum(value * value for value in normal) ** 0.5
    across = ",".join(f"{value / length + 0.0:g}" for value in normal)
    header = (
        f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: {WIDTH} {HEIGHT} 1\n"
        f"space directions: ({a:g},{d:g},{g:g}) ({b:g},{e:g},{h:g}) ({across})\nspace origin: ({c:g},{f:g},{i:g})\n"
        "kinds: domain domain domain\nencoding: raw\n\n"
    )
    return header.encode() + bytes((5 * x + 3 * y) % 256 for y in range(HEIGHT) for x in range(WIDTH))


def _json(document: Any) -> _Answer:
    return 200, json.dumps(document).encode(), "application/json"


def _refusal(status: int, sentence: str) -> _Answer:
    return status, json.dumps({"detail": sentence}).encode(), "application/json"


def _handler(stub: StubServer) -> type[BaseHTTPRequestHandler]:
    """The class that answers for a server."""

    class Handler(BaseHTTPRequestHandler):
        """Reads a request and writes the stub's answer."""

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            stub.requests.append(f"{self.command} {self.path}")
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content, kind = stub.answer(self.command, unquote(parts.path), query, body, self.headers)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if parts.path == "/datastore/label":
                self.send_header("ETag", stub.version(query.get("label", query.get("image", ""))))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _handle

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler
