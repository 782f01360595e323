"""Forms with files (multipart/form-data, RFC 7578), as MONAI Label takes them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FormFile:
    """A file in a form.

    Attributes:
        name: its file name; the server keeps only the ending.
        content: what it holds.
        content_type: its media type.
    """

    name: str
    content: bytes
    content_type: str = "application/octet-stream"


def encode_form(fields: Mapping[str, str], files: Mapping[str, FormFile]) -> tuple[bytes, str]:
    """Encode a form.

    Args:
        fields: its texts by name.
        files: its files by name.

    Returns:
        The body and its content type.
    """
    boundary = f"----{secrets.token_hex(24)}"
    body = bytearray()
    for name, text in fields.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'.encode()
        body += text.encode() + b"\r\n"
    for name, file in files.items():
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"; filename="{_quoted(file.name)}"'
            f"\r\nContent-Type: {file.content_type}\r\n\r\n"
        ).encode()
        body += file.content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    """A name as browsers write it between quotes, so that it cannot end the header."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
