"""PNG, JPEG, TIFF and BMP files."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from bundle.errors import ImageError
from bundle.io.colour import is_grey
from bundle.io.decoded import DecodedImage
from bundle.io.quiet import quiet_decoders
from bundle.io.size import check_size
from bundle.io.spacing import positive_pair
from bundle.records.radiograph import identity_pixel_to_lps

# The classes are called rather than Image.open, whose limit on the size is one setting for the whole process.
_OPENERS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}
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
        ImageError: when the file is damaged, has several pages, colour, transparency, one bit per pixel, several
            channels of 16 bits, or is turned.
    """
    with quiet_decoders():
        try:
            with path.open("rb") as file, _OPENERS[kind](file) as header:  # type: ignore[arg-type]
                check_size(path, *header.size, max_pixels)
            content = path.read_bytes()
            with _OPENERS[kind](BytesIO(content)) as image:
                return _decode(image, content, path, kind)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # Pillow raises many types for a damaged file
            raise ImageError(
                f"{path} is a {kind} file that is damaged, cut short or of an unusual sort: save it again as 8- or "
                "16-bit grey PNG."
            ) from error


def _decode(image: ImageFile.ImageFile, content: bytes, path: Path, kind: str) -> DecodedImage:
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise ImageError(f"{path} holds {pages} pictures, but one radiograph is needed: save one of them as a file.")
    tags = getattr(image, "tag_v2", {})
    deep = content[_PNG_BITS] > 8 if kind == "PNG" else max(tags.get(_BITS, (8,))) > 8
    if deep and len(image.getbands()) > 1:  # of which Pillow keeps 8
        raise ImageError(f"{path} has more than 8 bits in each of several channels: save it as 16-bit grey PNG.")
    orientation = tags.get(_ORIENTATION, 1) if kind == "TIFF" else _exif_orientation(image)
    if orientation in range(2, 9):
        raise ImageError(
            f"{path} asks to be shown turned (EXIF orientation {orientation}), which programs treat differently: "
            "save it upright without that tag."
        )
    if image.mode == "1":
        raise ImageError(f"{path} has one bit per pixel, a mask or a drawing: give a grey image of 8 or 16 bits.")
    step, aspect = _slicer_spacing_and_aspect(image, kind)
    white_is_zero = False
    if kind == "JPEG" and image.mode == "RGB":
        values = _grey_of_colour_jpeg(image, content, path)
    elif image.mode in ("L", "F", "I") or image.mode.startswith("I;16"):
        values = _with_stored_type(np.asarray(image), tags)
        white_is_zero = image.mode != "L" and tags.get(_PHOTOMETRIC) == 0  # Pillow turns the 8-bit ones itself
    else:
        values = _grey_of_channels(image, path)
    geometry = identity_pixel_to_lps() * [*step, 1.0]
    return DecodedImage(values=values, white_is_zero=white_is_zero, aspect=aspect, pixel_to_lps=geometry)


def _exif_orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata, which nothing else depends on
        return 1


def _with_stored_type(values: np.ndarray, tags: dict[int, object]) -> np.ndarray:
    """Undo that Pillow reads signed 8-bit TIFF as unsigned and unsigned 32-bit TIFF as signed."""
    bits, sample_format = tags.get(_BITS), tags.get(_SAMPLE_FORMAT, (1,))
    if bits == (8,) and sample_format == (2,):
        return values.view(np.int8)
    if bits == (32,) and sample_format == (1,):
        return values.view(np.uint32)
    return values


def _grey_of_colour_jpeg(image: ImageFile.ImageFile, content: bytes, path: Path) -> np.ndarray:
    """The luminance of a JPEG with three channels; its colour is judged at an eighth of the size, which is fast."""
    with JpegImageFile(BytesIO(content)) as small:
        small.draft("RGB", (max(1, small.width // 8), max(1, small.height // 8)))
        _refuse_colour(np.asarray(small.convert("RGB")), path)
    image.draft("L", image.size)
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _grey_of_channels(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise ImageError(f"{path} has transparent pixels: save it without an alpha channel.")
    colour = image.convert("RGB")
    _refuse_colour(np.asarray(colour), path)
    return np.asarray(colour.convert("L"))


def _refuse_colour(channels: np.ndarray, path: Path) -> None:
    if not is_grey(channels, 255.0):
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
