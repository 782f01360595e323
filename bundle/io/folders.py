"""Finding the images in a folder, and naming them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundle.io.dicomdir import dicomdir_images, is_dicomdir
from bundle.io.formats import READABLE_KINDS, announces_dicom, image_suffix
from bundle.io.names import marked_image_id, safe_image_id
from bundle.records.errors import ImageError
from bundle.records.names import folded


def find_images(folder: str | Path) -> list[Path]:
    """Every file in a folder and its subfolders that may be an image.

    A file counts by its ending (.dcm, .png, .nii.gz and so on, in any case) or, with any other name, by its content
    where that is DICOM. Hidden files and folders and DICOMDIR are left out. Symbolic links are followed, but each
    folder is visited once, so loops end. What cannot be looked at is listed as if it were an image, so that its loss is
    noticed when it is read and all others are found: a link with an image ending that leads nowhere, and a subfolder
    that may not be opened.

    Args:
        folder: a folder, a DICOMDIR, or a single image file.

    Returns:
        The paths, sorted, each starting with ``folder`` as given; for a DICOMDIR those that it names; for another file,
        that one path.

    Raises:
        ImageError: when the folder or the DICOMDIR does not exist, cannot be opened or has no image.
    """
    folder = Path(folder)
    try:
        if folder.is_file():
            return dicomdir_images(folder) if is_dicomdir(folder) else [folder]
        if not folder.is_dir():
            raise ImageError(f"{folder} does not exist: check the path of the images.")
        first = _entries(folder)
    except OSError as error:
        raise ImageError(f"{folder} cannot be opened ({error.strerror}): check the permissions.") from error
    images = sorted(_walk(first, {folder.resolve()}))
    if not images:
        raise ImageError(f"{folder} has no image in it: put {READABLE_KINDS} files there or give another folder.")
    return images


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _walk(entries: list[Path], visited: set[Path]) -> Iterator[Path]:
    """The images among some entries and below them; without recursion, for folders may be nested a thousand deep."""
    waiting = sorted(entries, reverse=True)
    while waiting:
        entry = waiting.pop()
        try:
            if not entry.is_dir():
                if _may_be_image(entry):
                    yield entry
                continue
            real = entry.resolve()
            if real not in visited:
                visited.add(real)
                waiting += sorted(_entries(entry), reverse=True)
        except OSError:  # the reader will say what is wrong with it
            yield entry


def _may_be_image(path: Path) -> bool:
    if is_dicomdir(path):
        return False
    if image_suffix(path.name):
        return path.is_file() or (path.is_symlink() and not path.exists())
    return path.is_file() and announces_dicom(path)


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
    level = [0] * len(candidates)
    while True:
        ids = [names[rank] for names, rank in zip(candidates, level)]
        count = Counter(folded(name) for name in ids)
        clashing = [index for index, name in enumerate(ids) if count[folded(name)] > 1]
        if not clashing:
            return ids
        raised = [index for index in clashing if level[index] < len(candidates[index]) - 1]
        if not raised:
            same = " and ".join(str(paths[index]) for index in clashing if ids[index] == ids[clashing[0]])
            raise ImageError(
                f"{same} would have the same name {ids[clashing[0]]} in the results: name each image once."
            )
        for index in raised:
            level[index] += 1


def _candidate_ids(path: Path, root: Path) -> tuple[str, str, str, str]:
    suffix = image_suffix(path.name)
    stem = path.name[: len(path.name) - len(suffix)]
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    folders = [part for part in relative.parent.parts if part not in (path.anchor, "..", ".")]
    long = "__".join([*folders, stem])
    marked = marked_image_id(stem, str(relative))
    return safe_image_id(stem), safe_image_id(long), safe_image_id(long + suffix), marked
