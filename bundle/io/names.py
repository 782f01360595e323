"""Names of files as they are written on any system, and names that can serve as file names on every system."""

import hashlib
import re
from pathlib import PurePosixPath

from bundle.io.formats import image_suffix
from bundle.records.names import composed

#: The longest image id, in bytes of UTF-8: file systems take names of 255, and an ending follows.
MAX_ID_BYTES = 200

_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
#: Names that some system keeps for itself, and those of the JSON files of a run, which stand beside its images' files.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|keypoints|metrics", re.IGNORECASE | re.DOTALL)
#: ``<id>.json`` of such an id would be the point list of another image.
_LIKE_A_POINT_LIST = re.compile(r"\.(mrk)$", re.IGNORECASE)


def name_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a path as written on any system, whichever way its slashes lean."""
    return PurePosixPath(composed(name).strip().replace("\\", "/")).parts


def file_stem(name: str) -> str:
    """The file name without its folders and without the ending of an image file; other dots stay."""
    last = (name_parts(name) or ("",))[-1]
    return last[: len(last) - len(image_suffix(last))]


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


def marked_image_id(text: str, source: str) -> str:
    """A safe id that tells its source from all others: it ends in a fingerprint of eight digits.

    Args:
        text: what the id shall begin with.
        source: what the fingerprint is of, such as a path; it may hold what is no character.

    Returns:
        The id, no longer than :data:`MAX_ID_BYTES`.
    """
    mark = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    begin = safe_image_id(text).encode("utf-8")[: MAX_ID_BYTES - len(mark) - 2].decode("utf-8", "ignore")
    return f"{begin}__{mark}"
