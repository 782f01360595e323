"""Nothing that a page of another site has a browser send gets through; programs and the server's own pages do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from label_server.same_origin import SameOriginMiddleware
from tests.label_server.client import ROOT

HOST = "127.0.0.1:8000"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

#: What browsers say of a form and of a script of another site, of a sandboxed frame or a file, of pages of another
#: port, name and subdomain, of a page of the same organisation, and of addresses that only look like the server's.
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost:8000"},
    {"Origin": f"http://{HOST}.evil.example"},
    {"Origin": f"http://evil.example/{HOST}"},
    {"Origin": f"http://{HOST}@evil.example"},
    {"Origin": HOST},
]

#: Of a program, of a user who types the address, of the server's own pages, and of a link that opens a page.
OWN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}"},
    {"Origin": f"https://{HOST}"},
]
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

#: How a page can send a body without asking the server first.
ENCODINGS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/json"]


@pytest.fixture
def client() -> TestClient:
    """Of an application that answers everything that reaches it."""

    def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse("reached")

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app = Starlette(routes=[Route("/", answer, methods=METHODS), WebSocketRoute("/socket", talk)])
    app.add_middleware(SameOriginMiddleware)
    return TestClient(app, base_url=f"http://{HOST}")


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_other_sites(client: TestClient, headers: dict[str, str]) -> None:
    for method in METHODS:
        for encoding in ENCODINGS:
            answer = client.request(method, "/", headers={**headers, "Content-Type": encoding}, content="a=1")
            assert answer.status_code == 403, (method, encoding)
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client.websocket_connect(f"ws://{HOST}/socket", headers=dict(headers)),
    ):
        pass
    assert caught.value.status_code == 403


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_programs_and_own_pages(client: TestClient, headers: dict[str, str]) -> None:
    for method in METHODS:
        assert client.request(method, "/", headers=headers).status_code == 200, method
    with client.websocket_connect(f"ws://{HOST}/socket", headers=dict(headers)):
        pass


def test_a_link_may_open_a_page_and_do_nothing_else(client: TestClient) -> None:
    assert [client.request(method, "/", headers=LINK).status_code for method in METHODS] == [200, *[403] * 6]


def test_no_second_header_outweighs_the_first(client: TestClient) -> None:
    for values in (["https://evil.example", f"http://{HOST}"], [f"http://{HOST}", "https://evil.example"]):
        assert client.post("/", headers=[("Origin", value) for value in values]).status_code == 403
    assert client.post("/", headers={"Origin": "http://", "Host": ""}).status_code == 403


PROGRAM = """
import json, sys
from starlette.routing import Route
from starlette.testclient import TestClient
from label_server.web import app
client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)  # no life span, so no study

def ways_of(routes):
    for route in routes:
        yield from ((method, route.path) for method in route.methods) if isinstance(route, Route) else ()
        yield from ways_of(getattr(getattr(route, "original_router", route), "routes", None) or ())

ways = [*ways_of(app.routes), *((method, "/nowhere") for method in ("GET", "POST", "PUT", "PATCH", "DELETE"))]
foreign, hosts = json.loads(sys.argv[1]), json.loads(sys.argv[2])
let_in = [way for way in ways for headers in foreign if client.request(*way, headers=headers).status_code != 403]
statuses = {host: client.get("/openapi.json", headers={"Host": host}).status_code for host in hosts}
print(json.dumps({"ways": ways, "let in": let_in, "hosts": statuses}))
"""


def test_every_route_of_the_server(tmp_path: Path) -> None:
    hosts = {
        **dict.fromkeys(["127.0.0.1:8000", "localhost:8000", "LocalHost", "[::1]:8000", "[::1]", "127.0.0.1"], 200),
        **dict.fromkeys(["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example"], 400),
        **dict.fromkeys(["", "127.0.0.1@evil.example", "evil.example@127.0.0.1", "[::2]", "10.0.0.1:8000"], 400),
    }
    environment = {**os.environ, "LABEL_SERVER_HOSTS": "127.0.0.1,localhost,[::1]", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", PROGRAM, json.dumps(FOREIGN[:7]), json.dumps(list(hosts))]
    run = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    ways = {tuple(way) for way in found["ways"]}
    assert {("POST", "/train/{model}"), ("PUT", "/datastore/label"), ("DELETE", "/datastore/image")} < ways
    assert found["let in"] == []
    assert found["hosts"] == hosts
