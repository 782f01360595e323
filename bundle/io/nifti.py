"""NIfTI files (.nii, .nii.gz)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from bundle.io.decoded import DecodedImage
from bundle.io.planes import check_single_plane
from bundle.io.quiet import quiet_decoders
from bundle.io.spacing import stated_spacing
from bundle.records.errors import ImageError

#: Where the pixels may start: extensions of the header, such as a copied DICOM header, come before them.
_MAX_OFFSET = 16 * 1024 * 1024
_MM_OF_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # of the length code in xyzt_units: metre, millimetre, micrometre


def read_nifti(path: Path, max_pixels: int) -> DecodedImage:
    """Read a NIfTI file that holds one 2D image.

    The first axis longer than one pixel is x (columns), the second y (rows), as ITK and 3D Slicer show them. The
    spacing is that of ``pixdim``, whatever the codes of the orientation are; see
    :func:`bundle.io.spacing.stated_spacing` for when it is unknown. Lengths in metres and micrometres are converted,
    an unstated unit is millimetres.

    Args:
        path: the file.
        max_pixels: the largest number of pixels that is decoded.

    Returns:
        The grey values and the geometry. A NIfTI file does not say whether low values are bright.

    Raises:
        ImageError: when the file holds more than one slice, colour or complex numbers, or is damaged.
    """
    with quiet_decoders():
        try:
            _check_offset(path)
            image: Any = nib.load(path)
            with ImageOpener(str(path)) as file:
                header = type(image.header).from_fileobj(file, check=False)  # as stored: nib.load mends the zeros
            x, y = check_single_plane(path, image.shape, max_pixels)
            if image.get_data_dtype().names or image.get_data_dtype().kind not in "uif":
                raise ImageError(f"{path} does not hold grey values but {image.get_data_dtype()}: save it in grey.")
            scale = _MM_OF_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
            zooms = np.abs(header["pixdim"][1:4].astype(np.float64))
            affine = _slicer_affine(image.header, zooms * scale, scale)
            plane = np.squeeze(np.asanyarray(image.dataobj))
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # nibabel, gzip and numpy raise many types for a damaged file
            raise ImageError(
                f"{path} is a NIfTI file that is damaged, cut short or not named .nii or .nii.gz: copy it again or "
                "save it anew."
            ) from error
        spacing = stated_spacing((zooms[x], zooms[y]), scale)
        return DecodedImage(
            values=plane.T,
            spacing=spacing,
            spacing_source="NIfTI pixdim" if spacing else None,
            pixel_to_lps=affine[:3][:, [x, y, 3]],
        )


def _check_offset(path: Path) -> None:
    """Refuse a file whose pixels start absurdly far behind the header: a compressed one would be unpacked up to there.

    The offset is a float32 at byte 108 of NIfTI-1 and an int64 at byte 168 of NIfTI-2; the size of the header, at byte
    0, tells both kinds and both byte orders apart.
    """
    with ImageOpener(str(path)) as file:
        head = file.read(176)
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0]
        if size in (348, 540):
            offset = (
                struct.unpack_from(f"{order}f", head, 108)
                if size == 348
                else struct.unpack_from(f"{order}q", head, 168)
            )
            if not 0 <= offset[0] <= _MAX_OFFSET:
                raise ImageError(
                    f"{path} states that its pixels start at byte {offset[0]:g}, but at most {_MAX_OFFSET} was "
                    "expected: save it anew."
                )


def _slicer_affine(header: Any, zooms: np.ndarray, scale: float) -> np.ndarray:
    """Array index to LPS in mm, array of shape (4, 4), by the choice between sform and qform that ITK makes.

    Without a usable one of them, x is left, y is posterior and the origin 0.
    """
    qform, qform_code = header.get_qform(coded=True)
    sform, sform_code = header.get_sform(coded=True)
    if sform_code and (sform_code == 1 or not qform_code):
        ras = sform
    elif qform_code:
        ras = qform
    else:
        ras = np.zeros((4, 4))
    lengths = np.linalg.norm(ras[:3, :3], axis=0)
    if np.isfinite(ras).all() and (lengths > 0).all():
        return np.diag([-scale, -scale, scale, 1.0]) @ ras
    known = np.where(np.isfinite(zooms) & (zooms > 0), zooms, 1.0)
    return np.diag([*known, 1.0])
