"""Finding the images in a folder, or on a DICOM disc, and naming them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from bundle.errors import ImageError
from bundle.io.decoder_process import read_in_process
from bundle.io.dicom_geometry import element
from bundle.io.formats import READABLE_KINDS, announces_image, image_suffix, is_own_result
from bundle.io.overwriting import Identity, identity
from bundle.records.names import MAX_ID_BYTES, folded, safe_image_id


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds, with its subfolders: every file is among the images or left out with a reason.

    Attributes:
        images: the images, sorted, each starting with the folder as given.
        left_out: by the reason, the paths below the folder of all else; a hidden folder, and that of the results, stand
            for what they hold.
    """

    images: list[Path]
    left_out: dict[str, list[str]]


def search_folder(
    folder: str | Path, results: str | Path | None = None, may_lack_images: bool = False
) -> FolderContent:
    """Look through a folder and its subfolders.

    A file counts as an image by its ending (.dcm, .png, .nii.gz and so on, in any case) or, with any other name, by its
    content. Hidden files and folders, DICOMDIR, and what this product wrote are left out. Symbolic links are followed,
    but each folder is visited once, so loops end. What cannot be looked at is listed as if it were an image, so that
    its loss is noticed when it is read and all others are found: a link with an image ending that leads nowhere, and a
    subfolder that may not be opened.

    Args:
        folder: a folder, a DICOMDIR, or a single image file.
        results: the folder that results are written to, whose content is no image of the run; None for none.
        may_lack_images: whether a folder without any image is no mistake.

    Returns:
        The content; for a DICOMDIR the images that it names; for another file, that one.

    Raises:
        ImageError: when the folder or the DICOMDIR does not exist, cannot be opened or has no image.
    """
    folder = Path(folder)
    content = FolderContent([], {})
    try:
        if folder.is_file():
            return FolderContent(dicomdir_images(folder) if is_dicomdir(folder) else [folder], {})
        if not folder.is_dir():
            raise ImageError(f"{folder} does not exist: check the path of the images.")
        entries = list(folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder} cannot be opened ({error.strerror}): check the permissions.") from error
    visited = {identity(folder)}
    own = {identity(results)} - {identity(folder)} if results else set()
    while entries:  # without recursion, for folders may be nested a thousand deep
        entry = entries.pop()
        try:
            reason = _why_left_out(entry, own)
            if reason:
                content.left_out.setdefault(reason, []).append(entry.relative_to(folder).as_posix())
            elif not entry.is_dir():
                content.images.append(entry)
            elif (found := identity(entry)) not in visited:
                visited.add(found)
                entries += entry.iterdir()
        except OSError:  # the reader will say what is wrong with it
            content.images.append(entry)
    if not content.images and not may_lack_images:
        raise ImageError(f"{folder} has no image in it: put {READABLE_KINDS} files there or give another folder.")
    content.images.sort()
    return FolderContent(content.images, {reason: sorted(paths) for reason, paths in content.left_out.items()})


def find_images(folder: str | Path) -> list[Path]:
    """The images in a folder and its subfolders, see :func:`search_folder`."""
    return search_folder(folder).images


def _why_left_out(entry: Path, results: set[Identity]) -> str | None:
    """Why an entry of a folder is no image of a run; None for images, and for folders that may hold some."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir():
        return "results of this program" if identity(entry) in results else None
    if is_dicomdir(entry):
        return "index of a DICOM disc"
    suffix = image_suffix(entry.name)
    if not entry.is_file():  # a pipe would never end
        return None if suffix and entry.is_symlink() and not entry.exists() else "no image"
    if is_own_result(entry):
        return "results of this program"
    return None if suffix or announces_image(entry) else "no image"


def image_ids(paths: Sequence[str | Path], root: str | Path) -> list[str]:
    """A unique identifier of each image of a run, fit to be a file name.

    It is the shortest of these that no other image of the run has, compared without regard to case and to how an
    accent is encoded: the file name without the image ending (``case1``); the path below ``root`` without the ending,
    joined by two underscores (``left__case1``); the same with the ending (``left__case1.png``); the file name with a
    fingerprint of the path (``case1__0f3a9c41``). Characters that some system forbids in file names become ``_``, and
    an id that would be too long is cut. It depends on the set of paths, not on their order.

    Args:
        paths: distinct image files.
        root: the folder that they were found in; a path outside it is taken whole.

    Returns:
        One identifier a path, in the order of ``paths``.

    Raises:
        ImageError: when a path occurs twice.
    """
    candidates = [_candidate_ids(Path(path), Path(root)) for path in paths]
    ids = [names[0] for names in candidates]
    for level in range(1, 4):
        count = Counter(map(folded, ids))
        ids = [names[level] if count[folded(name)] > 1 else name for name, names in zip(ids, candidates)]
    count = Counter(map(folded, ids))
    same = [str(path) for path, name in zip(paths, ids) if count[folded(name)] > 1]
    if same:
        raise ImageError(f"{' and '.join(same[:2])} would have the same name in the results: name each image once.")
    return ids


def _candidate_ids(path: Path, root: Path) -> tuple[str, str, str, str]:
    suffix = image_suffix(path.name)
    stem = path.name[: len(path.name) - len(suffix)]
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    folders = [part for part in relative.parent.parts if part not in (path.anchor, "..", ".")]
    long = "__".join([*folders, stem])
    mark = "__" + hashlib.sha256(str(relative).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    begin = safe_image_id(stem).encode("utf-8")[: MAX_ID_BYTES - len(mark)].decode("utf-8", "ignore")
    return safe_image_id(stem), safe_image_id(long), safe_image_id(long + suffix), begin + mark


def is_dicomdir(path: Path) -> bool:
    """Whether a file is called as the table of contents of a DICOM disc has to be (DICOM PS3.10 8.6)."""
    return path.name.upper() == "DICOMDIR"


def dicomdir_images(path: Path) -> list[Path]:
    """The files of all records of the type ``IMAGE`` in a DICOMDIR.

    Records of other types, such as reports and presentation states, are left out, and so are records that are no longer
    in use (0004,1410). A name is looked for below the folder of the DICOMDIR, without regard to case where it does
    not exist as written. A file that is not there is listed all the same, so that its loss is noticed when it is read.

    Args:
        path: the DICOMDIR.

    Returns:
        The paths, sorted, each once.

    Raises:
        ImageError: when the DICOMDIR cannot be read, names no image, or leads out of its own folder.
    """
    images = sorted(set(read_in_process(_listed_images, path)))
    if not images:
        raise ImageError(f"{path} names no image: give the folder of the images.")
    return images


def _listed_images(path: Path) -> list[Path]:
    try:
        records = list(pydicom.dcmread(path).get("DirectoryRecordSequence", None) or [])
    except OSError:
        raise
    except Exception as error:  # pydicom raises many types for a damaged file
        raise ImageError(f"{path} is no DICOMDIR, or a damaged one: give the folder of the images.") from error
    images = [record for record in records if element(record, "DirectoryRecordType") == "IMAGE"]
    in_use = [record for record in images if element(record, "RecordInUseFlag") in (None, 0xFFFF)]
    return [_resolved(path.parent, _file_id(record, path)) for record in in_use]


def _file_id(record: Dataset, path: Path) -> list[str]:
    value = element(record, "ReferencedFileID")
    parts = list(map(str, value)) if isinstance(value, MultiValue | list) else [str(value or "")]
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise ImageError(
            f"{path} names the file {'/'.join(parts)!r}, which is not below its own folder: give the folder of the "
            "images."
        )
    return parts


def _resolved(folder: Path, parts: list[str]) -> Path:
    for part in parts:
        entries = folder.iterdir() if folder.is_dir() and not (folder / part).exists() else ()
        alike = [entry for entry in entries if entry.name.casefold() == part.casefold()]
        folder = alike[0] if len(alike) == 1 else folder / part
    return folder
