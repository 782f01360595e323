"""Addresses and tokens, before anything is sent."""

from __future__ import annotations

import pytest
from OneShotLandmarksLib.address import check_token, parse_address
from OneShotLandmarksLib.errors import AddressError


@pytest.mark.parametrize(
    ("text", "url", "loopback"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("  http://127.0.0.1:8000/ ", "http://127.0.0.1:8000", True),
        ("HTTP://LocalHost:1", "http://localhost:1", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("https://label.example.org", "https://label.example.org:443", False),
        ("https://label.example.org/monai/", "https://label.example.org:443/monai", False),
        ("http://127.0.0.1.example.org", "http://127.0.0.1.example.org:80", False),
    ],
)
def test_addresses(text: str, url: str, loopback: bool) -> None:
    address = parse_address(text)
    assert (address.url, address.is_loopback) == (url, loopback)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("127.0.0.1:8000", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("ftp://host", "must begin with http:// or https://"),
        ("http://", "name a host"),
        ("http://host:99999", "is not a URL"),
        ("http://host:x", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://user:secret@host", "user name or password"),
        ("http://host/?a=b", "goes on after its path"),
        ("http://host/#top", "goes on after its path"),
        ("http://ho st", "blank or backslash"),
        ("http://host\r\nX: y", "blank or backslash"),
        ("http:\\\\host", "blank or backslash"),
    ],
)
def test_bad_addresses(text: str, words: str) -> None:
    with pytest.raises(AddressError, match=words) as caught:
        parse_address(text)
    assert "secret" not in str(caught.value) and str(caught.value).endswith(".")


def test_tokens_do_not_travel_in_the_open() -> None:
    here, safe, there = (parse_address(url) for url in ("http://127.0.0.1", "https://host", "http://host"))
    assert check_token(" abc ", here) == check_token("abc", safe) == "abc"
    assert check_token("  ", there) == ""
    with pytest.raises(AddressError, match="would be sent to host unencrypted"):
        check_token("abc", there)
    for token in ("a b", "a\r\nX: y", "ä"):
        with pytest.raises(AddressError, match="holds a blank or a letter"):
            check_token(token, safe)
