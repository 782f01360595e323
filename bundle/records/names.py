"""Names: when two mean the same, and which can serve as file names on every system."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

#: The longest image id, in bytes of UTF-8: file systems take names of 255, and an ending follows.
MAX_ID_BYTES = 200

_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
#: Names that some system keeps for itself, and those of the JSON files of a run, which stand beside its images' files.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|keypoints|metrics", re.IGNORECASE | re.DOTALL)
#: ``<id>.json`` of such an id would be the point list of another image.
_LIKE_A_POINT_LIST = re.compile(r"\.(mrk)$", re.IGNORECASE)


def folded(name: str) -> str:
    """The form in which names are compared; file systems rewrite accents and case, and so do people."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name.strip()).casefold())


def composed(name: str) -> str:
    """A name with each accent in one piece (Unicode's form NFC), as everybody but old file systems writes it."""
    return unicodedata.normalize("NFC", name)


def same_names(wanted: Sequence[str], found: Sequence[str]) -> list[int] | None:
    """Where each wanted name is among those found.

    Case counts only where it has to, as where ``Li`` and ``LI`` are two landmarks.

    Returns:
        The place of each wanted name in ``found``; None where the names are not the same, one for one.
    """
    for form in (composed, folded):
        places = {form(name): place for place, name in enumerate(found)}
        keys = [form(name) for name in wanted]
        if len(places) == len(found) == len(set(keys)) == len(keys) and set(places) == set(keys):
            return [places[key] for key in keys]
    return None


def unpaired(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """The names that have no other one which means the same."""
    known = {folded(name) for name in others}
    return [name for name in names if folded(name) not in known] or list(names)


def name_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a path as written on any system, whichever way its slashes lean."""
    return PurePosixPath(composed(name).strip().replace("\\", "/")).parts


def safe_image_id(text: str) -> str:
    """A string that can serve as image id, hence as file name on every system, as close to ``text`` as can be.

    Separators of folders, control characters and what some system forbids become ``_``, and accents are composed. No
    two ids give files of one name, nor does an id and the run. Two texts can give the same id: who makes ids has to
    tell them apart.

    Args:
        text: any text, such as a file name without its ending.

    Returns:
        The id; ``text`` itself where it is safe already.
    """
    cleaned = _UNSAFE.sub("_", composed(text)).strip(" ")
    cleaned = cleaned.encode("utf-8")[:MAX_ID_BYTES].decode("utf-8", "ignore").rstrip(" .")
    cleaned = _LIKE_A_POINT_LIST.sub(r"_\1", cleaned)
    if not cleaned or _RESERVED.fullmatch(cleaned):
        cleaned = f"_{cleaned}"
    return cleaned
