"""Requests that a page of another site has the user's browser send: refused before anything reads or changes."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class SameOriginMiddleware:
    """Lets a browser send requests from the server's own pages alone; other programs send neither of the two headers.

    Args:
        app: the application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with status 403, or hand on; see the ASGI specification."""
        if scope["type"] in ("http", "websocket") and _is_foreign(scope.get("method", ""), Headers(scope=scope)):
            sentence = "the request comes from a page of another site: use this server's own pages, or another program."
            await JSONResponse({"detail": sentence}, 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_foreign(method: str, headers: Headers) -> bool:
    """By ``Origin`` (RFC 6454, section 7) and ``Sec-Fetch-Site`` (Fetch Metadata Request Headers).

    ``Origin: null``, of a sandboxed page or a file, names no host and is foreign; so is another port of this host. A
    link on another site may open a page of this server in the browser's window.
    """
    host = headers.get("host", "").lower()
    if any(not host or origin.lower().partition("://")[2] != host for origin in headers.getlist("origin")):
        return True
    opens_page = (method, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "GET",
        "navigate",
        "document",
    )
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opens_page
