"""PNG, JPEG, TIFF and BMP files."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_size, is_grey, positive_pair
from bundle.records.radiograph import identity_pixel_to_lps

Image.MAX_IMAGE_PIXELS = None  # the limit is that of check_size

_ORIENTATION, _PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 274, 262, 258, 339  # TIFF and EXIF tags
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_PNG_BITS = 24  # place of the bits per channel in the file
_MM_OF_UNIT = {"JPEG": {1: 25.4, 2: 10.0}, "TIFF": {2: 25.4, 3: 10.0}}


def read_raster(path: Path, kind: str, max_pixels: int) -> DecodedImage:
    """Read a PNG, JPEG, TIFF or BMP file that holds one grey image.

    Grey of 8 or 16 bits, TIFF also with 32-bit integers or reals; colour channels and palettes of 8 bits are accepted
    where they show grey. Such files have no pixel spacing: their dots per inch are a print resolution and are not used
    as one, but for the proportion of a pixel's sides. They are used for ``pixel_to_lps`` of JPEG and TIFF, because ITK,
    and so 3D Slicer, places the pixels by them.

    A file that asks viewers to turn it (EXIF orientation) is refused: programs differ in whether they do, so points
    marked in one would be misplaced in another.

    Args:
        path: the file.
        kind: ``"PNG"``, ``"JPEG"``, ``"TIFF"`` or ``"BMP"``.
        max_pixels: the largest number of pixels that is decoded.

    Returns:
        The grey values; ``white_is_zero`` is True for a TIFF in which white is zero.

    Raises:
        ImageError: when the file has several pages, colour, transparency, one bit per pixel, several channels of 16
            bits, or is turned.
    """
    with Image.open(path, formats=[kind]) as image:
        check_size(path, *image.size, max_pixels)
        if kind == "JPEG" and image.mode == "RGB":
            _refuse_coloured_jpeg(path, image.size)
            image.draft("L", image.size)  # the luminance alone, in a third of the time
        tags = getattr(image, "tag_v2", {})
        _refuse_other_sorts(image, tags, path, kind)
        step, aspect = _slicer_spacing_and_aspect(image, kind)
        white_is_zero = False
        if image.mode in ("L", "F", "I") or image.mode.startswith("I;16"):
            values = _with_stored_type(np.asarray(image), tags)
            white_is_zero = image.mode != "L" and tags.get(_PHOTOMETRIC) == 0  # Pillow turns the 8-bit ones itself
        else:
            values = _grey_of_channels(image, path)
    geometry = identity_pixel_to_lps() * [*step, 1.0]
    return DecodedImage(values=values, white_is_zero=white_is_zero, aspect=aspect, pixel_to_lps=geometry)


def _refuse_other_sorts(image: ImageFile.ImageFile, tags: Any, path: Path, kind: str) -> None:
    pages = 1 if kind == "JPEG" else getattr(image, "n_frames", 1)  # a camera's JPEG may hold a thumbnail beside it
    if pages > 1:
        raise ImageError(f"{path} holds {pages} pictures, but one radiograph is needed: save one of them as a file.")
    deep = path.read_bytes()[_PNG_BITS] > 8 if kind == "PNG" else max(tags.get(_BITS, (8,))) > 8
    if deep and len(image.getbands()) > 1:  # of which Pillow keeps 8
        raise ImageError(f"{path} has more than 8 bits in each of several channels: save it as 16-bit grey PNG.")
    orientation = tags.get(_ORIENTATION, 1)
    with contextlib.suppress(Exception):  # damaged metadata, which nothing else depends on
        orientation = image.getexif().get(_ORIENTATION, orientation)
    if orientation in range(2, 9):
        raise ImageError(
            f"{path} asks to be shown turned (EXIF orientation {orientation}), which programs treat differently: "
            "save it upright without that tag."
        )
    if image.mode == "1":
        raise ImageError(f"{path} has one bit per pixel, a mask or a drawing: give a grey image of 8 or 16 bits.")


def _with_stored_type(values: np.ndarray, tags: Any) -> np.ndarray:
    """Undo that Pillow reads signed 8-bit TIFF as unsigned and unsigned 32-bit TIFF as signed."""
    stored = {((8,), (2,)): np.int8, ((32,), (1,)): np.uint32}
    return values.view(stored.get((tags.get(_BITS), tags.get(_SAMPLE_FORMAT, (1,))), values.dtype))


def _grey_of_channels(image: Image.Image, path: Path) -> np.ndarray:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise ImageError(f"{path} has transparent pixels: save it without an alpha channel.")
    colour = image.convert("RGB")
    _refuse_colour(colour, path)
    return np.asarray(colour.convert("L"))


def _refuse_coloured_jpeg(path: Path, size: tuple[int, int]) -> None:
    with Image.open(path, formats=["JPEG"]) as image:
        image.draft("RGB", (max(1, size[0] // 8), max(1, size[1] // 8)))  # an eighth of the size, which is fast
        _refuse_colour(image.convert("RGB"), path)


def _refuse_colour(image: Image.Image, path: Path) -> None:
    if not is_grey(np.asarray(image), 255.0):
        raise ImageError(f"{path} is a colour image, but a grey radiograph is needed: convert it to grey.")


def _slicer_spacing_and_aspect(image: Image.Image, kind: str) -> tuple[tuple[float, float], float]:
    """The step between columns and between rows in mm at which ITK places the pixels; height over width of a pixel."""
    tags, info = getattr(image, "tag_v2", {}), image.info
    density: Any
    if kind == "TIFF":
        unit, density = tags.get(_RESOLUTION_UNIT, 2), (tags.get(_X_RESOLUTION, 0), tags.get(_Y_RESOLUTION, 0))
    else:  # JFIF; PNG without or with a unit; BMP
        unit, density = info.get("jfif_unit"), info.get("jfif_density") or info.get("aspect") or info.get("dpi")
    found = positive_pair(density)
    if found is None:
        return (1.0, 1.0), 1.0
    mm = _MM_OF_UNIT.get(kind, {}).get(unit)
    return (mm / found[0], mm / found[1]) if mm else (1.0, 1.0), found[0] / found[1]
