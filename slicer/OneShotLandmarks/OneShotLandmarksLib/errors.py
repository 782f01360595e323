"""What can go wrong between the client and the server: each message is one sentence for the user."""

from __future__ import annotations


class ClientError(RuntimeError):
    """Base of all errors of the client; its message is shown as it stands."""


class AddressError(ClientError):
    """An address of a server, or a token, that cannot be used."""


class ConnectionFailed(ClientError):
    """No server, no answer in time, or an answer that is too large or of the wrong sort."""


class Refused(ClientError):
    """The server answered that it will not or cannot do what was asked.

    Args:
        message: the sentence.
        status: the HTTP status.
        version: the present version of what was to be replaced; empty for none.
    """

    def __init__(self, message: str, status: int | None = None, version: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.version = version


class PointsError(ClientError):
    """Points that cannot be shown on the image or sent to the server."""
