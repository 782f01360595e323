"""What may stand in the names of output files and in their text."""

from __future__ import annotations

from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from bundle import PRODUCT
from bundle.errors import BundleError
from bundle.io.names import safe_image_id

#: The ending of each writer's file of an image; :func:`bundle.io.names.safe_image_id` keeps the names apart.
ENDINGS = {"json": ".json", "markups": ".mrk.json", "overlay": ".png", "sr": ".sr.dcm"}

#: What starts a formula in a spreadsheet: the ASCII signs, a tab or line end before them, and their full-width forms.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


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


def made_here() -> PngInfo:
    """What a picture with landmarks in it says of itself, so that it is not taken for a radiograph later."""
    text = PngInfo()
    text.add_text("Software", PRODUCT)
    return text


def printable(text: str) -> str:
    """Text that UTF-8 can hold: what a file name has that is no character becomes ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def spreadsheet_safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe comes before a character that would start one."""
    return f"'{text}" if text[:1] in _FORMULA_STARTS else text
