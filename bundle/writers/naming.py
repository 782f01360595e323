"""What may stand in the names of output files and in their text."""

from __future__ import annotations

import re
from pathlib import Path

from bundle.errors import BundleError

#: The longest image id, in bytes of UTF-8: file systems take names of 255, and an ending follows.
MAX_ID_BYTES = 200

_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE | re.DOTALL)

#: What starts a formula in a spreadsheet: the ASCII signs, a tab or line end before them, and their full-width forms.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def safe_image_id(text: str) -> str:
    """A string that can serve as image id, hence as file name on every system, as close to ``text`` as can be.

    Separators of folders, control characters and what some system forbids become ``_``. Two texts can give the same
    id: who makes ids has to tell them apart.

    Args:
        text: any text, such as a file name without its ending.

    Returns:
        The id; ``text`` itself where it is safe already.
    """
    cleaned = _UNSAFE.sub("_", text).strip(" ")
    cleaned = cleaned.encode("utf-8")[:MAX_ID_BYTES].decode("utf-8", "ignore").rstrip(" .")
    if not cleaned or _RESERVED.fullmatch(cleaned):
        cleaned = f"_{cleaned}"
    return cleaned


def output_path(folder: Path | str, image_id: str, suffix: str) -> Path:
    """The file to write for an image.

    Args:
        folder: the folder of the results.
        image_id: the image's id.
        suffix: the ending, with its dot.

    Returns:
        ``folder/<image_id><suffix>``.

    Raises:
        BundleError: when the id is not one safe file name, as where it would lead out of the folder.
    """
    if safe_image_id(image_id) != image_id:
        raise BundleError(
            f"the image id {image_id!r} cannot be a file name: give the image an id such as "
            f"{safe_image_id(image_id)!r}."
        )
    return Path(folder) / f"{image_id}{suffix}"


def printable(text: str) -> str:
    """Text that UTF-8 can hold: what a file name has that is no character becomes ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def spreadsheet_safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe comes before a character that would start one."""
    return f"'{text}" if text[:1] in _FORMULA_STARTS else text
