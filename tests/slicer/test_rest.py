"""Addresses and tokens; requests over real sockets: limits of time and size, redirects, and sentences for errors."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from OneShotLandmarksLib import rest
from OneShotLandmarksLib.errors import AddressError, ConnectionFailed, Refused
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


@pytest.mark.parametrize(
    ("text", "url", "safe"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("  http://127.0.0.1:8000/ ", "http://127.0.0.1:8000", True),
        ("HTTP://LocalHost:1", "http://localhost:1", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("https://label.example.org", "https://label.example.org", True),
        ("https://label.example.org/Monai/", "https://label.example.org/Monai", True),
        ("http://127.0.0.1.example.org", "http://127.0.0.1.example.org", False),
        ("http://10.0.0.1", "http://10.0.0.1", False),
    ],
)
def test_addresses(text: str, url: str, safe: bool) -> None:
    assert Connection(text).url == url
    if safe:
        Connection(text, " abc ").require_safe("The password")
    else:
        with pytest.raises(AddressError, match=f"The token would be sent to {url} unencrypted"):
            Connection(text, "abc")


@pytest.mark.parametrize(
    "text",
    [
        *("", "127.0.0.1:8000", "file:///etc/passwd", "ftp://host", "http://", "http://host:99999", "http://host:x"),
        *("http://[::1", "http://user:secret@host", "http://secret@host", "http://host/?a=b", "http://host/#top"),
        *("http://ho st", "http://host\r\nX: y", "http:\\\\host", "http://host:0"),
    ],
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(AddressError, match=r"must be one such as http://127\.0\.0\.1:8000") as caught:
        Connection(text)
    assert "secret" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "ä"])
def test_bad_tokens(token: str) -> None:
    with pytest.raises(AddressError, match="holds a blank or a letter"):
        Connection("https://host", token)


def test_json_there_and_back(odd: Odd) -> None:
    connection = Connection(f"{odd.url}/behind/a/proxy", token="abc")
    odd.answer = lambda handler: send(handler, b"{}", ETag='"v1"')
    answer = connection.ask("GET", "/info/", params={"a": "x y&z", "c": None})
    assert (answer.json(), answer.version) == ({}, "v1")
    path, headers = odd.heard[0]
    assert path == "/behind/a/proxy/info/?a=x+y%26z"
    assert headers["Authorization"] == "Bearer abc"


def test_no_token_no_header(odd: Odd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login user password secret", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    Connection(odd.url).ask("GET", "/")
    assert "Authorization" not in odd.heard[0][1]


def test_redirects_are_not_followed(odd: Odd) -> None:
    with StubServer() as other:
        for target in (f"{other.url}/info/", "https://127.0.0.1/info/", "file:///etc/passwd", "/again"):
            odd.answer = lambda handler, target=target: send(handler, b"", 302, Location=target)
            with pytest.raises(ConnectionFailed, match="another address, which is not followed"):
                Connection(odd.url, token="abc").ask("GET", "/info/")
        assert other.requests == []


def test_a_silent_server(odd: Odd) -> None:
    odd.answer = lambda handler: time.sleep(2)
    started = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.3 seconds"):
        Connection(odd.url, timeout=0.3).ask("GET", "/info/")
    assert time.monotonic() - started < 1.5


def test_a_server_that_goes_on_and_on(odd: Odd) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" " * 100_000)
            time.sleep(0.05)

    odd.answer = drip
    with pytest.raises(ConnectionFailed, match="did not answer within"):
        Connection(odd.url, timeout=0.3).ask("GET", "/info/")


def test_an_answer_that_is_too_large(odd: Odd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rest, "MAX_ANSWER", 2**20)
    monkeypatch.setattr(rest, "MAX_DOWNLOAD", 2**20)
    for length in (str(2**40), "", "x"):
        odd.answer = lambda handler, length=length: send(handler, b" " * (2**20 + 2**17), Content_Length=length)
        with pytest.raises(ConnectionFailed, match="more than 1 MB"):
            Connection(odd.url).ask("GET", "/info/")
        with pytest.raises(ConnectionFailed, match="more than 1 MB"):
            Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": '])
def test_an_answer_that_is_not_json(odd: Odd, content: bytes) -> None:
    odd.answer = lambda handler: send(handler, content, Content_Type="text/html; charset=utf-8")
    with pytest.raises(ConnectionFailed, match="/info/ is not JSON"):
        Connection(odd.url).ask("GET", "/info/").json()


def test_an_answer_that_is_cut_short(odd: Odd, tmp_path: Path) -> None:
    odd.answer = lambda handler: send(handler, b"abc", Content_Length="10")
    with pytest.raises(ConnectionFailed, match="failed"):
        Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (404, b'{"detail": "There is no image 7."}', r"^There is no image 7\.$"),
        (400, b'{"detail": "two\\nlines \\u001b[31m"}', r"^two lines \[31m\.$"),
        (404, b"not json", r"HTTP 404"),
        (500, b"Internal Server Error", r"The server failed \(HTTP 500\): its log says why"),
        (500, b'{"detail": "The image is damaged."}', r"^The image is damaged\.$"),
        (401, b"{}", "wants a token"),
        (403, b'{"detail": "Role admin is required"}', r"does not allow this \(Role admin"),
        (400, b'{"detail": "' + b"a" * 5000 + b'"}', r"^a{500} …$"),
    ],
)
def test_the_server_says_no(odd: Odd, status: int, content: bytes, words: str) -> None:
    odd.answer = lambda handler: send(handler, content, status)
    with pytest.raises(Refused, match=words) as caught:
        Connection(odd.url).ask("GET", "/info/")
    assert caught.value.status == status


def test_no_server_no_host_no_http() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(
            ConnectionFailed, match=f"The connection to http://127.0.0.1:{port} failed .Connection refused"
        ):
            Connection(f"http://127.0.0.1:{port}").ask("GET", "/")
    with pytest.raises(ConnectionFailed, match=r"nowhere\.invalid|failed"):
        Connection("http://nowhere.invalid", timeout=5).ask("GET", "/")


def test_not_http_and_not_tls(odd: Odd) -> None:
    odd.answer = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(ConnectionFailed, match="failed"):
        Connection(odd.url).ask("GET", "/")
    with pytest.raises(ConnectionFailed, match="No safe connection"):
        Connection(odd.url.replace("http:", "https:"), timeout=5).ask("GET", "/")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_certificates_are_checked(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that this computer trusts are taken, no other."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    line = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", key, "-out", certificate]
    subprocess.run(
        [*line, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    odd.server.socket = context.wrap_socket(odd.server.socket, server_side=True)
    url = odd.url.replace("http:", "https:")
    with pytest.raises(ConnectionFailed, match=r"No safe connection.*self[- ]signed"):
        Connection(url, "abc").ask("GET", "/")
    assert odd.heard == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert Connection(url, "abc").ask("GET", "/").json() == {}


def test_the_proxy_of_the_environment_is_not_asked_for_this_computer(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert Connection(odd.url).ask("GET", "/").json() == {}


def test_a_download_that_cannot_be_written(odd: Odd, tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="cannot be written"):
        Connection(odd.url).download("/image", {}, tmp_path / "missing" / "image.png")


def test_a_download_replaces_what_was_there(odd: Odd, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"old")
    odd.answer = lambda handler: send(handler, b"new")
    Connection(odd.url).download("/image", {}, tmp_path / "image.png")
    assert (tmp_path / "image.png").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1
