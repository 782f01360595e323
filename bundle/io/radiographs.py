"""Reading one radiograph from a file of any supported format."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bundle.errors import BundleError, ImageError
from bundle.io.decoded import DEFAULT_MAX_PIXELS, DecodedImage, check_max_pixels, parse_spacing
from bundle.io.decoder_process import read_in_process
from bundle.io.formats import READABLE_KINDS, image_suffix, sniff_kind
from bundle.io.intensity import scale_to_unit
from bundle.records.radiograph import Radiograph

#: Memory that decoding takes at most: for the decoders themselves, and for the copies of each pixel on the way.
_DECODER_BYTES, _BYTES_PER_PIXEL = 512 * 1024**2, 32


def read_radiograph(
    image: str | Path | np.ndarray,
    spacing: float | Sequence[float] | None = None,
    *,
    invert: bool | None = None,
    voi_lut: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    grey_values: str = "stretch",
) -> Radiograph:
    """Read one radiograph, from a file or from memory.

    The format is found from the content, so a file may have any name: DICOM, PNG, JPEG, TIFF, BMP, NRRD; NIfTI has to
    be named ``.nii`` or ``.nii.gz``, MetaImage ``.mha`` or ``.mhd``.

    Args:
        image: the file, or its grey values as an array of shape (H, W), integers or reals.
        spacing: millimetres per pixel, one number or ``(x, y)`` = (between columns, between rows), that overrides what
            the file says; None takes the file's.
        invert: True makes low values bright, False high values, whatever the file says; None follows the file
            (``MONOCHROME1`` and "white is zero" are inverted, all else is not). Needed for a PNG or a NIfTI file in
            which bone is dark, because such files do not say so.
        voi_lut: whether to apply the window or the table that a DICOM file proposes for display; other formats have
            none.
        max_pixels: the largest number of pixels (width times height) that is decoded.
        grey_values: how they become 0 to 1, see :func:`bundle.io.intensity.scale_to_unit`.

    Returns:
        The radiograph: pixels of shape (H, W), float32, 0 to 1, rows as in the image; the spacing with the rule that
        gave it, ``"config"`` where the argument did.

    Raises:
        ImageError: when the file does not exist or cannot be read as one 2D grey image, or the array is none, with one
            sentence.
        ConfigError: when ``spacing`` or ``max_pixels`` is out of range, or ``grey_values`` unknown.
    """
    given = parse_spacing(spacing)
    if isinstance(image, np.ndarray):
        path, decoded = Path("array"), _as_decoded(image)
    else:
        path = Path(image)
        decoded = decode_image(path, max_pixels, voi_lut)
    pixels = scale_to_unit(
        decoded.values,
        path,
        ignored=decoded.ignored,
        invert=decoded.white_is_zero if invert is None else invert,
        grey_values=grey_values,
    )
    return Radiograph(
        pixels=pixels,
        path=path,
        spacing=given or decoded.spacing,
        spacing_source="config" if given else decoded.spacing_source,
        aspect=decoded.aspect,
        pixel_to_lps=decoded.pixel_to_lps,
        laterality=decoded.laterality,
        rows_towards=decoded.rows_towards,
    )


def _as_decoded(values: np.ndarray) -> DecodedImage:
    if values.ndim != 2 or values.dtype.kind not in "uif" or not values.size:
        raise ImageError(
            f"the image array has the shape {values.shape} and the type {values.dtype}, expected numbers of shape "
            "(H, W): give one grey image."
        )
    return DecodedImage(values)


def image_kind(path: Path) -> str:
    """The kind of image that a file is, as far as its beginning tells; see :func:`bundle.io.formats.sniff_kind`.

    Raises:
        ImageError: when it does not exist, cannot be opened, or holds no image.
    """
    try:
        if not path.exists():
            raise ImageError(f"{path} does not exist: check the path of the image.")
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that may not be opened says so
        if not path.is_file():
            raise ImageError(f"{path} is not a file: give the path of one image.")
        kind = sniff_kind(path)
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}): check its path and permissions.") from error
    if kind is None:
        named = f"is named {suffix} but " if (suffix := image_suffix(path.name)) else ""
        raise ImageError(f"{path} {named}holds no image that can be read, or is damaged: give a {READABLE_KINDS} file.")
    return kind


def decode_image(path: Path, max_pixels: int = DEFAULT_MAX_PIXELS, voi_lut: bool = False) -> DecodedImage:
    """The grey values of a file as they are, with what it says of them; see :func:`read_radiograph` for the rest."""
    memory = _DECODER_BYTES + _BYTES_PER_PIXEL * check_max_pixels(max_pixels)
    kind = image_kind(path)
    try:
        decoded = read_in_process(decode, path, kind, max_pixels, voi_lut, memory=memory)
        if kind == "DICOM":
            from bundle.io.dicom_geometry import slicer_pixel_to_lps

            with contextlib.suppress(ImageError):  # GDCM ends its process over an image that 3D Slicer cannot open
                decoded = replace(decoded, pixel_to_lps=read_in_process(slicer_pixel_to_lps, path))
        return decoded
    except MemoryError as error:
        raise ImageError(
            f"{path} needs more memory than there is: make the image smaller, or lower max_pixels."
        ) from error
    except OSError as error:  # of the system: no further process, or no folder to work in
        raise ImageError(f"{path} cannot be read ({error.strerror}): start again in a folder that is there.") from error


def decode(path: Path, kind: str, max_pixels: int, voi_lut: bool = False) -> DecodedImage:
    """What :func:`decode_image` does in the process of the decoders, which loads those that a file needs.

    Raises:
        ImageError: when the file holds no image, or is damaged.
    """
    try:
        if kind == "DICOM":
            from bundle.io.dicom import read_dicom

            return read_dicom(path, max_pixels, voi_lut)
        if kind == "NIfTI":
            from bundle.io.volumes import read_nifti

            return read_nifti(path, max_pixels)
        if kind in ("MetaImage", "NRRD"):
            from bundle.io.volumes import read_itk

            return read_itk(path, kind, max_pixels)
        from bundle.io.raster import read_raster

        return read_raster(path, kind, max_pixels)
    except (BundleError, MemoryError):
        raise
    except Exception as error:  # decoders raise many types for a damaged file
        raise ImageError(
            f"{path} is a {kind} file that is damaged, cut short, without its data or of an unusual sort: copy it "
            "again or save it anew."
        ) from error
