"""Requests to a server by the package ``requests``, with limits of time and size, and sentences for what goes wrong."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from .errors import AddressError, ConnectionFailed, Refused

#: The largest answer that is kept in memory, and the largest file that is downloaded, in bytes.
MAX_ANSWER, MAX_DOWNLOAD = 64 * 2**20, 2 * 2**30

#: The longest sentence of a server that is shown.
_MAX_SENTENCE = 500

_PIECE = 2**16


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        content: the body.
        version: that of what the body is, by the header ``ETag``; empty for none.
        url: what was asked.
    """

    content: bytes
    version: str
    url: str

    def json(self) -> Any:
        """The body as a JSON document.

        Raises:
            ConnectionFailed: when it is none.
        """
        try:
            return json.loads(self.content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConnectionFailed(
                f"The answer of {self.url} is not JSON: check that the address is that of a MONAI Label server."
            ) from error


class Connection:
    """Speaks to one server.

    Every request has its own connection, so that a server that was started again is found. Redirects are not followed:
    another server must see neither the token nor what is asked.

    Args:
        url: the server's URL, such as ``http://127.0.0.1:8000``.
        token: the token of MONAI Label's authentication; empty for none. It is sent over a network only encrypted.
        timeout: seconds that the server may be silent, and after which an answer that goes on is given up.

    Raises:
        AddressError: when URL or token cannot be used.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 30.0) -> None:
        self.url, self._is_safe = _read_address(url)
        self.timeout = timeout
        self._token = token.strip()
        if self._token:
            self.require_safe("The token")
            if not re.fullmatch(r"[\x21-\x7e]+", self._token):
                raise AddressError("The token holds a blank or a letter that no token has: copy it again.")

    def require_safe(self, what: str) -> None:
        """Make sure that a secret is not sent over a network unencrypted.

        Raises:
            AddressError: when it would be.
        """
        if not self._is_safe:
            raise AddressError(f"{what} would be sent to {self.url} unencrypted: use an address with https://.")

    def ask(self, method: str, path: str, timeout: float | None = None, **sent: Any) -> Answer:
        """Send a request.

        Args:
            method: such as ``GET``.
            path: the path, such as ``/info/``.
            timeout: seconds; None for those of the connection.
            sent: what :func:`requests.request` takes: ``params``, ``json``, ``data``, ``files``, ``headers``.

        Raises:
            ConnectionFailed: when no sound answer comes.
            Refused: when the server answers with an error.
        """
        content = bytearray()
        headers = self._request(method, path, timeout, content.extend, MAX_ANSWER, sent)
        return Answer(bytes(content), headers.get("ETag", "").strip('"'), self.url + path)

    def download(self, path: str, params: Mapping[str, Any], target: Path, timeout: float | None = None) -> None:
        """Save what the server sends as a file, which appears whole or not at all; errors as in :meth:`ask`."""
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                self._request("GET", path, timeout, file.write, MAX_DOWNLOAD, {"params": params})
            part.replace(target)
        except OSError as error:
            raise ConnectionFailed(f"The download cannot be written to {target}: {error.strerror or error}.") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink()

    def _request(
        self,
        method: str,
        path: str,
        timeout: float | None,
        take: Callable[[bytes], Any],
        limit: int,
        sent: Mapping[str, Any],
    ) -> Mapping[str, str]:
        """Send one request and hand the body of its answer on piece by piece; returns the headers."""
        seconds = self.timeout if timeout is None else timeout
        end = time.monotonic() + seconds
        try:
            with (
                _session(self.url) as session,
                session.request(
                    method,
                    self.url + path,
                    auth=self._sign,
                    timeout=seconds,
                    stream=True,
                    allow_redirects=False,
                    **sent,
                ) as answer,
            ):
                total = 0
                said = bytearray()
                for piece in answer.iter_content(_PIECE):
                    total += len(piece)
                    if total > limit:
                        raise ConnectionFailed(
                            f"The server at {self.url} sends more than {limit // 2**20} MB, which is not read: check "
                            "that the address is that of a MONAI Label server."
                        )
                    if time.monotonic() > end:
                        raise requests.Timeout
                    (take if answer.ok and not answer.is_redirect else said.extend)(piece)
                if answer.raw.length_remaining:
                    raise requests.ConnectionError(f"it broke off after {total} bytes")
                if answer.status_code >= 300:
                    raise self._refusal(answer, bytes(said))
                return answer.headers
        except requests.Timeout as error:
            raise ConnectionFailed(
                f"The server at {self.url} did not answer within {seconds:g} seconds: check that it runs, or wait "
                "longer."
            ) from error
        except requests.exceptions.SSLError as error:
            raise ConnectionFailed(
                f"No safe connection to {self.url} ({_reason(error)}): check that it speaks TLS and that its "
                "certificate is trusted on this computer."
            ) from error
        except requests.RequestException as error:
            raise ConnectionFailed(
                f"The connection to {self.url} failed ({_reason(error)}): check the address and that the server runs."
            ) from error

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token; without one, too, ``requests`` then looks for no password of its own."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _refusal(self, answer: requests.Response, content: bytes) -> Exception:
        """The sentence for an HTTP error, with the server's own words where it has some."""
        status, words = answer.status_code, _server_words(content)
        if status < 400:
            return ConnectionFailed(
                f"The server at {self.url} sends the client on to another address, which is not followed: give the "
                "address of the server itself."
            )
        if status == 401:
            words = f"The server at {self.url} wants a token: give one that is valid."
        elif status == 403:
            words = f"The server at {self.url} does not allow this ({words.rstrip('.') or answer.reason})."
        elif status >= 500 and not words:
            words = f"The server failed (HTTP {status}): its log says why."
        version = answer.headers.get("ETag", "").strip('"')
        return Refused(words or f"The server answered with HTTP {status} ({answer.reason}).", status, version)


class _SystemTrust(HTTPAdapter):
    """Trusts the authorities that this computer trusts, beside those that ``requests`` brings."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See :class:`requests.adapters.HTTPAdapter`."""
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)


def _session(url: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = not _is_loopback(urlsplit(url).hostname or "")  # no proxy on the way to this computer
    session.mount("https://", _SystemTrust())
    return session


def _read_address(text: str) -> tuple[str, bool]:
    """A server's URL without a slash at its end, and whether what is sent there cannot be read on the way.

    Raises:
        AddressError: when it is not the plain URL of an HTTP server.
    """
    text = text.strip()
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        plain = parts.username is None and not (
            parts.query or parts.fragment or re.search(r"[\s\\\x00-\x1f\x7f]", text)
        )
        if parts.scheme in ("http", "https") and parts.hostname and plain and (parts.port is None or parts.port > 0):
            url = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
            return url, parts.scheme == "https" or _is_loopback(parts.hostname)
    raise AddressError(
        "The server's address must be one such as http://127.0.0.1:8000, with http:// or https://, a host, and no user "
        "name, blank, ? or #."
    )


def _is_loopback(host: str) -> bool:
    """Whether a host is this computer, so that nothing goes over a network."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom of an error."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return str(getattr(error, "verify_message", "") or getattr(error, "strerror", "") or error or type(error).__name__)


def _server_words(content: bytes) -> str:
    """What a server says about an error: FastAPI's ``detail``, made one short line."""
    try:
        words = json.loads(content.decode("utf-8"))["detail"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(words)).split())
    line = line if len(line) <= _MAX_SENTENCE else f"{line[:_MAX_SENTENCE]} …"
    return line if not line or line[-1] in ".!?…" else f"{line}."
