"""Files that appear whole or not at all; what may stand in their names, their text and their JSON."""

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from PIL.PngImagePlugin import PngInfo

from bundle import PRODUCT
from bundle.errors import BundleError
from bundle.records.names import safe_image_id

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


@contextlib.contextmanager
def atomic_file(path: Path | str, binary: bool = False) -> Iterator[IO[Any]]:
    """Write a file so that nobody ever sees it half written.

    The content goes to a temporary file in the same folder, which takes the place of ``path`` once it is complete and
    on the disk; then the folder is brought to the disk, too. Where the block raises, the temporary file is removed and
    an older ``path`` stays as it was. A process that is killed leaves its temporary file behind: see
    :func:`remove_leftovers`.

    Args:
        path: the file; its folder is made where it does not exist. The file's permissions follow the caller's umask.
        binary: whether to write bytes; else text, UTF-8, with line ends as written.

    Yields:
        The open file to write to.

    Raises:
        BundleError: when the system refuses to write, as where the folder may not be written or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        # Mode x: never follows or overwrites what already has the name; the rights are those of any new file.
        with temporary.open("xb") if binary else temporary.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written ({error.strerror or error}): check the folder, its permissions and the space on "
            "the disk."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def remove_leftovers(folder: Path | str) -> None:
    """Remove the temporary files that killed processes have left in a folder; nobody may be writing into it.

    Args:
        folder: the folder; it need not exist.
    """
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can; the files' content is there already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


def json_values(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not know, and with text that UTF-8 can hold."""
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return printable(value) if isinstance(value, str) else value


def rounded(value: float, decimals: int) -> float | None:
    """A finite number rounded for a file, or None where it is not finite."""
    number = float(value)
    return round(number, decimals) + 0.0 if math.isfinite(number) else None


def json_lines(content: Mapping[str, Any]) -> str:
    """The text of an object of JSON, a key a line, and of a list of objects an entry a line."""

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join(f"    {_dumps(entry)}" for entry in value)
            return f"[\n{entries}\n  ]"
        return _dumps(value)

    lines = ",\n".join(f"  {_dumps(key)}: {text(value)}" for key, value in content.items())
    return f"{{\n{lines}\n}}\n"


def write_json(path: Path, content: Any) -> Path:
    """Write values of JSON.

    Raises:
        BundleError: when the file cannot be written.
    """
    text = json.dumps(json_values(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as file:
        file.write(text + "\n")
    return path


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
