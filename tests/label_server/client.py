"""A server of its own for a test, and a client that speaks to it as any program would: by HTTP alone."""

import contextlib
import email
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL = "oneshot_landmarks"


@dataclass(frozen=True)
class Answer:
    """What the server said.

    Attributes:
        status: the HTTP status.
        content: the body.
        kind: its content type.
        headers: its headers.
    """

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def sentence(self) -> str:
        """The one sentence of a refusal; anything else is a failure."""
        assert self.status >= 400, (self.status, self.content[:300])
        sentence = self.json["detail"]
        assert isinstance(sentence, str) and sentence.endswith(".") and "\n" not in sentence, self.content[:500]
        return sentence

    def parts(self) -> dict[str, bytes]:
        """The parts of a multipart answer by their names."""
        kind = self.headers["Content-Type"]
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.content)
        names = (part.get_param("name", header="Content-Disposition") for part in message.get_payload())
        return {str(name): part.get_payload(decode=True) for name, part in zip(names, message.get_payload())}


@dataclass(frozen=True)
class Client:
    """A client of a server.

    Attributes:
        url: the server's address.
    """

    url: str

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        fields: Mapping[str, str] | None = None,
        timeout: float = 1500,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request: ``body`` goes as JSON, ``files`` (name and content by form field) and ``fields`` as a form."""
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        sent = dict(headers or {})
        data = None
        if files is not None or fields is not None:
            boundary = uuid.uuid4().hex
            data = _form(boundary, files or {}, fields or {})
            sent["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        elif body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(url, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def infer(self, image: str, output: str = "json", **params: Any) -> Answer:
        """Points of an image of the study."""
        query = {"image": image, "output": output}
        return self.ask("POST", f"/infer/{MODEL}", query, fields={"params": json.dumps(params)})

    def save(self, image: str, markups: Any, name: str = "points.mrk.json", replaces: str = "", **query: str) -> Answer:
        """Save an annotation, a document or the bytes of a file, perhaps in place of the version ``replaces``."""
        content = markups if isinstance(markups, bytes) else json.dumps(markups).encode()
        seen = {"If-Match": replaces} if replaces else {}
        files = {"label": (name, content)}
        return self.ask("PUT", "/datastore/label", {"image": image, **query}, files=files, headers=seen)

    def train(self, seconds: float = 1500, **params: Any) -> dict[str, Any]:
        """Train and wait; the last state of the task."""
        started = self.ask("POST", f"/train/{MODEL}", body=params)
        assert started.status == 200, started.content
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.ask("GET", "/train/").json
            if state["status"] not in ("SUBMITTED", "RUNNING"):
                return state
            time.sleep(0.5)
        raise AssertionError(f"the training has not ended within {seconds} s: {state}")


def _form(boundary: str, files: Mapping[str, tuple[str, bytes]], fields: Mapping[str, str]) -> bytes:
    lines = b""
    for name, text in fields.items():
        lines += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
    for name, (file, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        lines += f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n"
    return lines + f"--{boundary}--\r\n".encode()


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        client: its client.
        studies: its study folder.
        pid: its process.
    """

    client: Client
    studies: Path
    pid: int

    @property
    def model(self) -> Path:
        """Where the trained model is, or will be."""
        return self.studies / "monailabel" / "model" / MODEL / "models" / "model.pt"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running_server(studies: Path, log: Path, cwd: Path, seconds: float = 900, *options: str) -> Iterator[Server]:
    """Start the server as a user does, from ``cwd``; stop it at the end."""
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    line = [sys.executable, str(ROOT / "label_server"), "--studies", str(studies), "--port", str(port), *options]
    with log.open("wb") as file:
        process = subprocess.Popen(line, cwd=cwd, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait(client, process, log, seconds)
        yield Server(client, studies, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def _wait(client: Client, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if client.ask("GET", "/info/", timeout=5).status == 200:
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server does not answer:\n{log.read_text(errors='replace')[-3000:]}")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of all that it has started."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident_bytes(child) for child in children)
