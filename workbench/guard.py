"""Who may talk to the workbench: its own pages, with the token; everything else is refused before it is read."""

import hmac
import re
import secrets
from collections.abc import Collection
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench import texts as t

#: What pages may load and do. Vue compiles its templates in the page, which takes 'unsafe-eval'; its libraries set
#: styles of elements, which takes 'unsafe-inline' for styles. Scripts need the nonce of the response.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_SCRIPT = re.compile(rb"^(\s*<script)(?=[\s>])", re.MULTILINE)

#: The longest password that is read.
_MOST_BYTES = 4096


class Guard:
    """Checks Host and Origin of HTTP and websockets, then the cookie that the token is exchanged for.

    Args:
        app: the application behind it.
        secret: the token, or the password.
        hosts: values of ``Host`` that are answered, in lower case; none to answer all, where TLS names the machine.
        port: part of the cookie's name, for cookies do not know ports.
        secure: whether the page comes by TLS.
    """

    def __init__(self, app: ASGIApp, secret: str, hosts: Collection[str], port: int, secure: bool = False) -> None:
        self.app, self.secret, self.hosts, self.secure = app, secret, frozenset(hosts), secure
        self.cookie = f"workbench-{port}"
        self.session = secrets.token_urlsafe(32)  # of this start; the secret itself stays out of cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, sign in, or hand on; see the ASGI specification."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or (self.hosts and host not in self.hosts):
            return await self._refuse(scope, receive, send, 421, t.WRONG_HOST)
        if any(origin.lower().partition("://")[2] != host for origin in headers.getlist("origin")):
            return await self._refuse(scope, receive, send, 403, t.WRONG_ORIGIN)
        if scope["type"] == "websocket" and not headers.get("origin"):
            return await self._refuse(scope, receive, send, 403, t.WRONG_ORIGIN)
        if self._is_signed_in(headers):
            return await self.app(scope, receive, self._with_policy(scope, send))
        if scope["type"] == "http":
            response = await self._sign_in(Request(scope, receive))
            return await response(scope, receive, self._with_policy(scope, send))
        return await self._refuse(scope, receive, send, 401, t.NO_TOKEN)

    def _is_signed_in(self, headers: Headers) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except Exception:  # of another program on this machine
            return False
        found = cookies.get(self.cookie)
        return found is not None and hmac.compare_digest(found.value.encode(), self.session.encode())

    async def _sign_in(self, request: Request) -> Response:
        """The token of the address, or the password of the form, for a cookie; else the form."""
        given = request.query_params.get("token", "")
        if request.method == "POST" and request.url.path == "/sign-in":
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_BYTES:
                    return PlainTextResponse(t.NO_TOKEN, 413)
            given = parse_qs(body.decode("utf-8", "replace")).get("secret", [""])[0]
        if given and hmac.compare_digest(given.encode(), self.secret.encode()):
            path = "/" if request.url.path == "/sign-in" else request.url.path
            # Never to another site: a path that begins with two slashes names one.
            response = RedirectResponse("/" + path.lstrip("/\\"), 303)
            response.set_cookie(self.cookie, self.session, httponly=True, samesite="strict", secure=self.secure)
            return response
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_FORM, 401)
        return PlainTextResponse(t.NO_TOKEN, 401)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
        await PlainTextResponse(sentence, status)(scope, receive, send)

    def _with_policy(self, scope: Scope, send: Send) -> Send:
        """Headers for every answer, and the nonce for the scripts of pages."""
        nonce = secrets.token_urlsafe(18)
        held: list[Message] = []
        body = bytearray()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
                if headers.get("content-type", "").startswith("text/html"):
                    held.append(message)
                    return
            if not held or message["type"] != "http.response.body":
                return await send(message)
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                page = _SCRIPT.sub(rb'\1 nonce="' + nonce.encode() + b'"', bytes(body))
                MutableHeaders(scope=held[0])["Content-Length"] = str(len(page))
                await send(held.pop())
                await send({"type": "http.response.body", "body": page})

        return sending if scope["type"] == "http" else send


_FORM = f"""<!doctype html>
<html lang="en"><title>{t.TITLE}</title><meta name="viewport" content="width=device-width">
<main style="font-family: system-ui; max-width: 26rem; margin: 15vh auto; padding: 1rem">
<h1>{t.TITLE}</h1><p>{t.NO_TOKEN}</p>
<form method="post" action="/sign-in"><label>{t.SECRET}
<input name="secret" type="password" autocomplete="current-password" autofocus></label>
<button>{t.SIGN_IN}</button></form></main></html>
"""
