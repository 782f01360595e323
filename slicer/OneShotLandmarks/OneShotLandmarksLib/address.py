"""Where a server is: the parts of its URL, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import AddressError

_EXAMPLE = "http://127.0.0.1:8000"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """The address of a server.

    Attributes:
        scheme: ``http`` or ``https``.
        host: the host, in lower case.
        port: the port.
        path: what stands before the paths of the server, without a slash at its end; mostly empty.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, without a slash at its end."""
        return self.origin + self.path

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this computer, so that nothing goes over a network."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Read the URL of a server.

    Args:
        text: the URL, such as ``http://127.0.0.1:8000``.

    Returns:
        The address.

    Raises:
        AddressError: when it is not the plain URL of an HTTP server.
    """
    text = text.strip()
    if not text:
        raise AddressError(f"The server's address is empty: give one such as {_EXAMPLE}.")
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise AddressError(f"The server's address {text!r} holds a blank or backslash: give one such as {_EXAMPLE}.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(
            f"The server's address {text!r} is not a URL ({error}): give one such as {_EXAMPLE}."
        ) from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname:
        raise AddressError(
            f"The server's address {text!r} must begin with http:// or https:// and name a host: give one such as "
            f"{_EXAMPLE}."
        )
    if parts.username is not None or parts.password is not None:
        raise AddressError("The server's address holds a user name or password: leave it out and give a token instead.")
    if parts.query or parts.fragment:
        raise AddressError(f"The server's address {text!r} goes on after its path: end it before the ? or #.")
    return Address(scheme, parts.hostname.lower(), _PORTS[scheme] if port is None else port, parts.path.rstrip("/"))


def check_token(token: str, address: Address) -> str:
    """Check a token before it is sent.

    Args:
        token: the token of MONAI Label's authentication; empty for none.
        address: where it would be sent.

    Returns:
        The token without blanks around it.

    Raises:
        AddressError: when it cannot be a token, or would travel over a network unencrypted.
    """
    token = token.strip()
    if not token:
        return ""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise AddressError("The token holds a blank or a letter that no token has: copy it again.")
    check_secret(address, "The token")
    return token


def check_secret(address: Address, what: str) -> None:
    """Make sure that a secret is not sent over a network unencrypted.

    Raises:
        AddressError: when it would be.
    """
    if address.scheme != "https" and not address.is_loopback:
        raise AddressError(
            f"{what} would be sent to {address.host} unencrypted: use an address that begins with https://."
        )
