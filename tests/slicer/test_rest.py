"""Requests over real sockets: limits of time and size, redirects, tokens, and sentences for what goes wrong."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from OneShotLandmarksLib import rest
from OneShotLandmarksLib.errors import ConnectionFailed, Refused
from OneShotLandmarksLib.form import FormFile, encode_form
from OneShotLandmarksLib.rest import Connection
from OneShotLandmarksLib.stub_server import StubServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Odd:
    """A server that answers as a test says."""

    def __init__(self) -> None:
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                odd.heard.append((self.path, dict(self.headers)))
                odd.answer(self)

            do_PUT = do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.heard: list[tuple[str, dict[str, str]]] = []
        self.answer: Answer = lambda handler: send(handler, b"{}")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def odd() -> Iterator[Odd]:
    odd = Odd()
    thread = threading.Thread(target=odd.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield odd
    odd.server.shutdown()
    odd.server.server_close()


def test_json_there_and_back(odd: Odd) -> None:
    connection = Connection(f"{odd.url}/behind/a/proxy", token="abc")
    assert connection.get("/info/", {"a": "x y&z", "b": True, "c": None}) == {}
    path, headers = odd.heard[0]
    assert path == "/behind/a/proxy/info/?a=x%20y%26z&b=true"
    assert headers["Authorization"] == "Bearer abc"


def test_no_token_no_header(odd: Odd) -> None:
    Connection(odd.url).get("/")
    assert "Authorization" not in odd.heard[0][1]


def test_a_redirect_to_another_server_is_not_followed(odd: Odd) -> None:
    with StubServer() as other:
        for target in (f"{other.url}/info/", "https://127.0.0.1/info/", "file:///etc/passwd", "//example.org/"):
            odd.answer = lambda handler, target=target: send(handler, b"", 302, Location=target)
            with pytest.raises(ConnectionFailed, match="another address, which is not followed"):
                Connection(odd.url, token="abc").get("/info/")
        assert other.requests == []


def test_a_redirect_to_the_same_server_is_followed(odd: Odd) -> None:
    odd.answer = lambda handler: (
        send(handler, b'{"here": 1}') if handler.path == "/info/" else send(handler, b"", 307, Location="/info/")
    )
    assert Connection(odd.url, token="abc").get("/info") == {"here": 1}
    assert odd.heard[1][1]["Authorization"] == "Bearer abc"


def test_redirects_without_end(odd: Odd) -> None:
    odd.answer = lambda handler: send(handler, b"", 302, Location="/again")
    with pytest.raises(ConnectionFailed, match="another address"):
        Connection(odd.url).get("/info/")
    assert len(odd.heard) < 20


def test_a_silent_server(odd: Odd) -> None:
    odd.answer = lambda handler: time.sleep(2)
    started = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.3 seconds"):
        Connection(odd.url, timeout=0.3).get("/info/")
    assert time.monotonic() - started < 1.5


def test_a_server_that_sends_drop_by_drop(odd: Odd) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    odd.answer = drip
    with pytest.raises(ConnectionFailed, match="did not answer within"):
        Connection(odd.url, timeout=0.3).get("/info/")


def test_an_answer_that_is_too_large(odd: Odd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rest, "MAX_ANSWER", 2**20)
    monkeypatch.setattr(rest, "MAX_DOWNLOAD", 2**20)
    for length in (str(2**40), "", "x"):
        odd.answer = lambda handler, length=length: send(handler, b" " * (2**20 + 1), Content_Length=length)
        with pytest.raises(ConnectionFailed, match="more than 1 MB"):
            Connection(odd.url).get("/info/")
        with pytest.raises(ConnectionFailed, match="more than 1 MB"):
            Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": '])
def test_an_answer_that_is_not_json(odd: Odd, content: bytes) -> None:
    odd.answer = lambda handler: send(handler, content, Content_Type="text/html; charset=utf-8")
    with pytest.raises(ConnectionFailed, match="text/html that is not JSON"):
        Connection(odd.url).get("/info/")


def test_an_answer_that_is_cut_short(odd: Odd, tmp_path: Path) -> None:
    odd.answer = lambda handler: send(handler, b"abc", Content_Length="10")
    with pytest.raises(ConnectionFailed, match="broke off after 3 of 10 bytes"):
        Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (404, b'{"detail": "There is no image 7."}', r"^There is no image 7\.$"),
        (400, b'{"detail": "two\\nlines \\u001b[31m"}', r"^two lines \[31m\.$"),
        (
            422,
            b'{"detail": [{"loc": ["query", "image"], "msg": "Field required"}]}',
            r"^query.image: Field required\.$",
        ),
        (404, b"not json", r"HTTP 404"),
        (500, b"Internal Server Error", r"The server failed \(HTTP 500\): its log says why"),
        (500, b'{"detail": "The image is damaged."}', r"^The image is damaged\.$"),
        (401, b"{}", "wants a token"),
        (403, b'{"detail": "Role admin is required"}', r"does not allow this to the owner of the token \(Role admin"),
        (400, b'{"detail": "' + b"a" * 5000 + b'"}', r"^a{500} …$"),
    ],
)
def test_the_server_says_no(odd: Odd, status: int, content: bytes, words: str) -> None:
    odd.answer = lambda handler: send(handler, content, status)
    with pytest.raises(Refused, match=words) as caught:
        Connection(odd.url).get("/info/")
    assert caught.value.status == status


def test_no_server_no_host_no_http() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ConnectionFailed, match=f"No server answers at http://127.0.0.1:{port}"):
            Connection(f"http://127.0.0.1:{port}").get("/")
    with pytest.raises(ConnectionFailed, match=r"nowhere\.invalid|failed"):
        Connection("http://nowhere.invalid", timeout=5).get("/")


def test_not_http_and_not_tls(odd: Odd) -> None:
    odd.answer = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(ConnectionFailed, match="failed"):
        Connection(odd.url).get("/")
    with pytest.raises(ConnectionFailed, match="No safe connection"):
        Connection(odd.url.replace("http:", "https:"), timeout=5).get("/")


def test_certificates_are_checked() -> None:
    connection = Connection("https://127.0.0.1:1")
    (handler,) = (part for part in connection._opener.handlers if hasattr(part, "https_open"))
    context = handler._context  # type: ignore[attr-defined]
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname


def test_the_proxy_of_the_environment_is_not_asked_for_this_computer(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert Connection(odd.url).get("/") == {}


def test_a_download_that_cannot_be_written(odd: Odd, tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="cannot be written"):
        Connection(odd.url).download("/image", {}, tmp_path / "missing" / "image.png")


def test_a_download_replaces_what_was_there(odd: Odd, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"old")
    odd.answer = lambda handler: send(handler, b"new")
    Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert (tmp_path / "image.png").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_forms_cannot_be_broken_out_of() -> None:
    body, content_type = encode_form({'a"\r\nX: y': "1"}, {"label": FormFile('n"\r\n.json', b"\x00\r\n--")})
    boundary = content_type.split("boundary=")[1].encode()
    assert body.count(b"--" + boundary) == 3 and body.endswith(b"--" + boundary + b"--\r\n")
    assert b"X: y\r\n\r\n" not in body.replace(b"%0D%0AX: y", b"")
    assert b'filename="n%22%0D%0A.json"' in body
    assert encode_form({}, {})[1] != content_type, "a boundary cannot be guessed"
