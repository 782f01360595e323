"""Requests to a server: JSON, forms and downloads, with limits of time and size."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urljoin

from .address import Address, check_token, parse_address
from .errors import AddressError, ConnectionFailed, Refused
from .form import FormFile, encode_form

#: The largest answer that is kept in memory, and the largest file that is downloaded, in bytes.
MAX_ANSWER = 64 * 2**20
MAX_DOWNLOAD = 2 * 2**30

#: The longest sentence of a server that is shown.
_MAX_SENTENCE = 500

_PIECE = 2**16


class _SameServerOnly(urllib.request.HTTPRedirectHandler):
    """Follows a server only to itself: another one must see neither the token nor what is asked."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to follow, for the library; refuses another scheme, host or port."""
        try:
            same = parse_address(newurl.split("?")[0].split("#")[0]).origin == self.origin
        except AddressError:
            same = False
        if not same:
            raise _sent_on(self.origin)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Connection:
    """Speaks to one server.

    Every request has its own connection, so that a server that was started again is found.

    Args:
        url: the server's URL, such as ``http://127.0.0.1:8000``.
        token: the token of MONAI Label's authentication; empty for none. It is sent over a network only encrypted.
        timeout: seconds that a request may take, from its start to the last byte of its answer.

    Raises:
        AddressError: when URL or token cannot be used.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 30.0) -> None:
        self.address = parse_address(url)
        self.timeout = timeout
        self._token = check_token(token, self.address)
        self._opener = _opener(self.address)

    def get(self, path: str, query: Mapping[str, Any] | None = None, timeout: float | None = None) -> Any:
        """Ask for JSON.

        Args:
            path: the path, such as ``/info/``.
            query: what follows the path's question mark; None values are left out.
            timeout: seconds; None for those of the connection.

        Returns:
            The document.

        Raises:
            ConnectionFailed: when no sound answer comes.
            Refused: when the server answers with an error.
        """
        return self._json("GET", path, query, None, None, timeout)

    def delete(self, path: str) -> Any:
        """Ask to remove or stop something; see :meth:`get`."""
        return self._json("DELETE", path, None, None, None, None)

    def post(
        self,
        path: str,
        document: Mapping[str, Any],
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send JSON and take JSON; see :meth:`get`."""
        return self._json("POST", path, query, json.dumps(document).encode(), "application/json", timeout)

    def post_fields(self, path: str, fields: Mapping[str, str]) -> Any:
        """Send fields as a web page would, and take JSON; see :meth:`get`."""
        return self._json("POST", path, None, urlencode(fields).encode(), "application/x-www-form-urlencoded", None)

    def send_form(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        fields: Mapping[str, str],
        files: Mapping[str, FormFile],
        timeout: float | None = None,
    ) -> Any:
        """Send a form with files by ``PUT`` or ``POST``, and take JSON; see :meth:`get`."""
        body, content_type = encode_form(fields, files)
        return self._json(method, path, query, body, content_type, timeout)

    def text(self, path: str, query: Mapping[str, Any]) -> str:
        """Ask for text; see :meth:`get`."""
        content, _ = self._bytes("GET", path, query, None, None, None)
        return content.decode("utf-8", "replace")

    def download(self, path: str, query: Mapping[str, Any], target: Path, timeout: float | None = None) -> None:
        """Save what the server sends as a file, which appears whole or not at all.

        Args:
            path: the path.
            query: what follows the path's question mark.
            target: the file.
            timeout: seconds; None for those of the connection.

        Raises:
            ConnectionFailed: when no sound answer comes, or the file cannot be written.
            Refused: when the server answers with an error.
        """
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                self._request("GET", path, query, None, None, timeout, _writer(file, target), MAX_DOWNLOAD)
            part.replace(target)
        except OSError as error:
            raise _unwritten(target, error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink()

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: bytes | None,
        content_type: str | None,
        timeout: float | None,
    ) -> Any:
        content, kind = self._bytes(method, path, query, body, content_type, timeout)
        try:
            return json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConnectionFailed(
                f"{self.address.url}{path} answers with {kind or 'something'} that is not JSON: check that the address "
                "is that of a MONAI Label server."
            ) from error

    def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: bytes | None,
        content_type: str | None,
        timeout: float | None,
    ) -> tuple[bytes, str]:
        content = bytearray()
        kind = self._request(method, path, query, body, content_type, timeout, content.extend, MAX_ANSWER)
        return bytes(content), kind

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: bytes | None,
        content_type: str | None,
        timeout: float | None,
        take: Callable[[bytes], Any],
        limit: int,
    ) -> str:
        """Send one request and hand the answer on piece by piece; returns its media type."""
        seconds = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        request = urllib.request.Request(self._url(path, query), data=body, method=method)
        request.add_header("Accept", "*/*")
        if content_type:
            request.add_header("Content-Type", content_type)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                self._read(answer, take, limit, deadline, seconds)
                return str(answer.headers.get("Content-Type", "")).split(";")[0].strip()
        except urllib.error.HTTPError as error:
            raise self._refusal(error, deadline, seconds) from error
        except urllib.error.URLError as error:
            raise self._failure(error.reason, seconds) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error, seconds) from error

    def _url(self, path: str, query: Mapping[str, Any] | None) -> str:
        known = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        return urljoin(self.address.origin, self.address.path + path) + (
            f"?{urlencode(known, quote_via=quote, safe='')}" if known else ""
        )

    def _read(self, answer: Any, take: Callable[[bytes], Any], limit: int, deadline: float, seconds: float) -> None:
        length = answer.headers.get("Content-Length", "")
        expected = int(length) if length.isdigit() else None
        total = 0
        if expected is not None and expected > limit:
            raise self._too_large(limit)
        while True:
            # read1 returns what is there, so that a server that sends drop by drop meets the deadline.
            piece = answer.read1(_PIECE)
            if not piece:
                break
            total += len(piece)
            if total > limit:
                raise self._too_large(limit)
            if time.monotonic() > deadline:
                raise self._too_slow(seconds)
            take(piece)
        if expected is not None and total < expected:
            raise ConnectionFailed(
                f"The server at {self.address.url} broke off after {total} of {expected} bytes: try again."
            )

    def _refusal(self, error: urllib.error.HTTPError, deadline: float, seconds: float) -> Exception:
        """The sentence for an HTTP error, with the server's own words where it has some."""
        content = bytearray()
        with contextlib.suppress(OSError, http.client.HTTPException, ConnectionFailed):
            self._read(error, content.extend, MAX_ANSWER, deadline, seconds)
        words = _server_words(bytes(content))
        if 300 <= error.code < 400:
            return _sent_on(self.address.origin)
        if error.code == 401:
            return Refused(f"The server at {self.address.url} wants a token: give one that is valid.", 401)
        if error.code == 403:
            return Refused(
                f"The server at {self.address.url} does not allow this to the owner of the token{_after(words)}", 403
            )
        if error.code >= 500 and not words:
            return Refused(f"The server failed (HTTP {error.code}): its log says why.", error.code)
        return Refused(words or f"The server answered with HTTP {error.code} ({error.reason}).", error.code)

    def _failure(self, reason: Any, seconds: float) -> Exception:
        url = self.address.url
        if isinstance(reason, (socket.timeout, TimeoutError)):  # one class from Python 3.10 on
            return self._too_slow(seconds)
        if isinstance(reason, ssl.SSLError):
            return ConnectionFailed(
                f"No safe connection to {url} ({getattr(reason, 'verify_message', '') or reason.reason or reason}): "
                "check that it speaks TLS and that its certificate is trusted on this computer."
            )
        if isinstance(reason, ConnectionRefusedError):
            return ConnectionFailed(f"No server answers at {url}: check the address and that the server runs.")
        if isinstance(reason, socket.gaierror):
            return ConnectionFailed(f"The host {self.address.host} is not known: check the address.")
        detail = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return ConnectionFailed(f"The connection to {url} failed ({detail}): check that the server runs and try again.")

    def _too_slow(self, seconds: float) -> ConnectionFailed:
        return ConnectionFailed(
            f"The server at {self.address.url} did not answer within {seconds:g} seconds: check that it runs, or wait "
            "longer."
        )

    def _too_large(self, limit: int) -> ConnectionFailed:
        return ConnectionFailed(
            f"The server at {self.address.url} sends more than {limit // 2**20} MB, which is not read: check that the "
            "address is that of a MONAI Label server."
        )


def _sent_on(origin: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"The server at {origin} sends the client on to another address, which is not followed: give the address of "
        "the server itself."
    )


def _writer(file: BinaryIO, target: Path) -> Callable[[bytes], None]:
    """Writes to a file; a full disk is not taken for a broken connection."""

    def write(piece: bytes) -> None:
        try:
            file.write(piece)
        except OSError as error:
            raise _unwritten(target, error) from error

    return write


def _unwritten(target: Path, error: OSError) -> ConnectionFailed:
    return ConnectionFailed(f"The download cannot be written to {target}: {error.strerror or error}.")


def segment(text: str) -> str:
    """One part of a path, with all that would end it escaped."""
    return quote(text, safe="")


def _opener(address: Address) -> urllib.request.OpenerDirector:
    """What opens URLs of one scheme: certificates are checked, and no proxy stands on the way to this computer."""
    if address.scheme == "https":
        handler: urllib.request.BaseHandler = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    else:
        handler = urllib.request.HTTPHandler()
    opener = urllib.request.OpenerDirector()
    for part in (
        urllib.request.ProxyHandler({} if address.is_loopback else None),
        urllib.request.UnknownHandler(),
        handler,
        urllib.request.HTTPDefaultErrorHandler(),
        _SameServerOnly(address.origin),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(part)
    return opener


def _text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _server_words(content: bytes) -> str:
    """What a server says about an error: FastAPI's ``detail``, made one short line."""
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    words = document.get("detail", "") if isinstance(document, dict) else ""
    if isinstance(words, list):  # FastAPI's list of wrong arguments
        words = "; ".join(
            f"{'.'.join(str(part) for part in item.get('loc', []))}: {item.get('msg', '')}"
            for item in words
            if isinstance(item, dict)
        )
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(words)).split())
    line = line if len(line) <= _MAX_SENTENCE else f"{line[:_MAX_SENTENCE]} …"
    return line if not line or line[-1] in ".!?…" else f"{line}."


def _after(words: str) -> str:
    return f" ({words.rstrip('.')})." if words else "."
