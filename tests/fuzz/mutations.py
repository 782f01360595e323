"""Changes that turn a sound file into one that nobody would write by accident, and some that happen by accident."""

import random
import re
import struct
from collections.abc import Callable, Sequence

#: Numbers at which programs go wrong, as bytes of either order.
NUMBERS = [
    struct.pack(order + kind, value)
    for order in "<>"
    for kind, values in (
        ("H", (0, 1, 0x7FFF, 0x8000, 0xFFFF)),
        ("I", (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 60000, 100_000_000)),
        ("Q", (0, 2**31, 2**63 - 1, 2**64 - 1)),
        ("f", (float("inf"), float("nan"), -1.0, 1e30)),
        ("d", (float("inf"), float("nan"), 1e300)),
    )
    for value in values
]

#: What hostile text is made of.
WORDS = [
    *(
        b"1e999",
        b"-1e308",
        b"nan",
        b"Infinity",
        b"1" * 5000,
        b"0x10",
        b"1,5",
        b"--1",
        b"\xff\xfe",
        b"\0",
        b"\xef\xbb\xbf",
    ),
    *(b'=HYPERLINK("http://x")', b"@SUM(1)", b"+cmd|'/C calc'!A0", b"-2+3+cmd|' /C calc'!A0", b"'=1"),
    *(b"../../../etc/passwd", b"..\\..\\x", b"/dev/zero", b"/etc/passwd", b"C:\\x", b"%n%s%d", b"LIST", b"LOCAL"),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\n" * 500,
    ),
    *(b"," * 30000, b'"', b'"\n"', b"a\n" * 2000, b"x1,y1," * 500, b"markups", b"landmarks", b"schema"),
]


def mutate(data: bytes, draw: random.Random, others: Sequence[bytes]) -> bytes:
    """A changed copy of a file.

    Args:
        data: the content.
        draw: where the choices come from.
        others: other files, of which parts are taken.

    Returns:
        The content after one to six changes.
    """
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        draw.choice(CHANGES)(changed, draw, others)
    return bytes(changed)


def _place(data: bytearray, draw: random.Random) -> int:
    """A place in a file; the header is where most goes wrong."""
    within = min(len(data), draw.choice((64, 512, len(data) or 1)))
    return draw.randrange(within) if within else 0


def _flip(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    for _ in range(draw.choice((1, 1, 8))):
        if data:
            data[_place(data, draw)] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    start, number = _place(data, draw), draw.choice(NUMBERS)
    data[start : start + len(number)] = number


def _random_bytes(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    start, count = _place(data, draw), draw.randrange(1, 32)
    data[start : start + count] = draw.randbytes(count)


def _cut_end(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    del data[_place(data, draw) :]


def _remove(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    start = _place(data, draw)
    del data[start : start + draw.choice((1, 2, 4, 16, 200))]


def _repeat(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    start = _place(data, draw)
    part = data[start : start + draw.choice((1, 4, 40, 400))]
    data[start:start] = part * draw.choice((1, 2, 50))


def _insert_word(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    start = _place(data, draw)
    data[start : start + draw.choice((0, 0, 1, 4))] = draw.choice(WORDS)


def _replace_number(data: bytearray, draw: random.Random, _others: Sequence[bytes]) -> None:
    """Put something else in the place of a number, or a word, that is written as text."""
    found = list(re.finditer(rb"-?[0-9][0-9.]*|\"[^\"]{1,30}\"", bytes(data[:4096])))
    if found:
        where = draw.choice(found)
        big = str(draw.choice((-1, 0, 1, 2**31, 2**32, 2**63, 10**30))).encode()
        data[where.start() : where.end()] = draw.choice([big, draw.choice(WORDS)])


def _splice(data: bytearray, draw: random.Random, others: Sequence[bytes]) -> None:
    other = draw.choice(others)
    data[_place(data, draw) :] = other[draw.randrange(len(other)) :]


CHANGES: list[Callable[[bytearray, random.Random, Sequence[bytes]], None]] = [
    *(_flip, _flip, _overwrite, _overwrite, _random_bytes, _cut_end, _remove, _repeat, _insert_word, _replace_number),
    _splice,
]
