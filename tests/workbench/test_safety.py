"""Who gets an answer from the workbench: nobody but its own pages, with the token."""

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from study import Protocol, Study
from tests.conftest import ROOT
from tests.workbench.conftest import NAMES, Running, running

pytestmark = pytest.mark.timeout(600)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Sends what it is told to, of whatever host and origin."""

    def __init__(self, server: Running) -> None:
        parts = urlsplit(server.url)
        assert parts.port is not None
        self.port, self.token = parts.port, parse_qs(parts.query)["token"][0]
        self.cookie = self.ask(f"/?token={self.token}").headers["set-cookie"].split(";")[0]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": f"127.0.0.1:{self.port}", **sent})
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def page(self, path: str = "/", **headers: str) -> Answer:
        return self.ask(path, Cookie=self.cookie, **headers)

    def websocket(self, **headers: str) -> int:
        """The status of the answer to a websocket."""
        address = f"ws://127.0.0.1:{self.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        origin = headers.pop("Origin", None)
        sent = list(headers.items())
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as line:
                connect(address, sock=line, origin=origin, additional_headers=sent, open_timeout=60).close()
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101


@pytest.fixture(scope="module")
def client(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("safe") / "study"
    folder.mkdir()
    (folder / "phantom_000.dcm").write_bytes((simulated / "phantom_000.dcm").read_bytes())
    (folder.parent / "secret.png").write_bytes(b"not in the study")
    Study(folder).save_protocol(Protocol.of(NAMES))
    with running(folder) as server:
        yield Client(server)


def test_without_a_token_nothing_is_answered(client: Client) -> None:
    for path in ("/", "/pixels/phantom_000", "/files", "/export.zip", "/_nicegui/auto/static/nicegui.css"):
        refused = client.ask(path)
        assert refused.status == 401 and b"phantom" not in refused.body
    assert client.ask("/?token=wrong").status == 401
    assert client.ask("/", Cookie=client.cookie[:-1]).status == 401
    assert client.ask("/", Accept="text/html").body.count(b"<form") == 1
    assert client.page().status == 200
    assert b"open the address that it printed" in client.page().body, "what a page says whose cookie is of before"


def test_the_token_becomes_a_cookie_that_stays_here(client: Client) -> None:
    answer = client.ask(f"/?token={client.token}")
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status == 303 and answer.headers["location"] == "/"
    assert "httponly" in cookie and "samesite=strict" in cookie and client.token.lower() not in cookie
    assert client.ask(f"//evil.example/?token={client.token}").headers["location"] == "/evil.example/"
    form = f"secret={client.token}".encode()
    assert client.ask("/sign-in", "POST", form).status == 303
    assert client.ask("/sign-in", "POST", b"secret=" + b"x" * 10_000).status == 413


def test_another_name_of_this_machine_is_not_answered(client: Client) -> None:
    """So DNS rebinding ends in a refusal, whatever cookie the browser sends."""
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert client.ask("/", Host=host, Cookie=client.cookie).status == 421
    assert client.ask("/", Host=f"LOCALHOST:{client.port}", Cookie=client.cookie).status == 200
    assert (
        client.websocket(Cookie=client.cookie, Host=f"evil.example:{client.port}", Origin="http://evil.example") != 101
    )


def test_pages_of_other_sites_are_refused(client: Client) -> None:
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        f"https://127.0.0.1:{client.port}.evil.example",
    ):
        assert client.page(Origin=origin).status == 403
        assert client.websocket(Cookie=client.cookie, Origin=origin) == 403
    own = f"http://127.0.0.1:{client.port}"
    assert client.page(Origin=own).status == 200
    assert client.websocket(Origin=own) == 401, "no token"
    assert client.websocket(Cookie=client.cookie) == 403, "no origin"
    assert client.websocket(Cookie=client.cookie, Origin=own) == 101


def test_paths_lead_nowhere_else(client: Client) -> None:
    for path in ("../secret", "..%2fsecret", "%2e%2e/secret.png", "/etc/passwd", "phantom_000/../../secret", "", "\0"):
        for route in ("/pixels/", "/crop/64/0/0/"):
            assert client.page(f"{route}{path}".replace("\0", "%00")).status == 404
    for crop in ("0/0/0", "64/9999/0", "64/-1/0", "99999/0/0", "x/0/0"):
        assert client.page(f"/crop/{crop}/phantom_000").status in (404, 422)


def test_pixels_are_those_that_are_matched(client: Client, simulated: Path) -> None:
    answer = client.page("/pixels/phantom_000")
    width, height = np.frombuffer(answer.body[:8], "<u4")
    pixels = np.frombuffer(answer.body[8:], "<u2").reshape(height, width)
    expected = Study(simulated).radiograph("phantom_000").pixels
    assert np.abs(pixels / 65535 - expected).max() < 1e-5
    assert answer.headers["cache-control"] == "no-store"
    crop = client.page("/crop/32/10/20/phantom_000")
    assert np.array_equal(np.frombuffer(crop.body[8:], "<u2").reshape(32, 32), pixels[20:52, 10:42])


def test_the_policy_stands_on_every_answer(client: Client) -> None:
    for answer in (client.page(), client.ask("/"), client.page("/pixels/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    nonces = {client.page().headers["content-security-policy"].split("nonce-")[1][:20] for _ in range(3)}
    assert len(nonces) == 3


def refusal(*arguments: str, **environment: str) -> str:
    line = [sys.executable, "-m", "workbench", "--no_browser", *arguments]
    settings = {**os.environ, **environment}
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, env=settings, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_other_machines_need_a_password_and_tls(tmp_path: Path) -> None:
    study = ("--study", str(tmp_path))
    assert "set a password" in refusal(*study, "--host", "0.0.0.0")
    assert "--ssl_keyfile" in refusal(*study, "--host", "0.0.0.0", WORKBENCH_PASSWORD="correct horse battery")
    assert "needs both" in refusal(*study, "--ssl_keyfile", "key.pem")
    assert "no folder" in refusal("--study", str(tmp_path / "none"))
    assert "small letters" in refusal(*study, "--reader", "../x")


def test_with_tls_and_a_password(simulated: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl, which makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*line, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    tls = ("--ssl_keyfile", str(key), "--ssl_certfile", str(certificate), "--host", "0.0.0.0")
    folder = tmp_path / "study"
    folder.mkdir()
    with running(folder, *tls, WORKBENCH_PASSWORD="correct horse battery") as server:
        assert "token" not in server.url
        port = urlsplit(server.url).port
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        connection.request("POST", "/sign-in", b"secret=correct+horse+battery")
        answer = connection.getresponse()
        assert answer.status == 303 and "secure" in str(answer.getheader("set-cookie")).lower()
