"""NIfTI files (.nii, .nii.gz)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_single_plane
from bundle.io.spacing import stated_spacing

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
        ImageError: when the file holds more than one slice, colour or complex numbers.
    """
    header = _stored_header(path)
    image: Any = nib.load(path)
    x, y = check_single_plane(path, image.shape, max_pixels)
    if image.get_data_dtype().names or image.get_data_dtype().kind not in "uif":
        raise ImageError(f"{path} does not hold grey values but {image.get_data_dtype()}: save it in grey.")
    scale = _MM_OF_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    zooms = np.abs(header["pixdim"][1:4].astype(np.float64))
    affine = _slicer_affine(image.header, zooms * scale, scale)
    spacing = stated_spacing((zooms[x], zooms[y]), scale)
    return DecodedImage(
        values=np.squeeze(np.asanyarray(image.dataobj)).T,
        spacing=spacing,
        spacing_source="NIfTI pixdim" if spacing else None,
        pixel_to_lps=affine[:3][:, [x, y, 3]],
    )


def _stored_header(path: Path) -> Any:
    """The header as it is in the file, before nibabel mends it."""
    with ImageOpener(str(path)) as file:
        head = file.read(nib.Nifti2Header.sizeof_hdr)
    kind = nib.Nifti2Header if head[4:8] == b"n+2\0" else nib.Nifti1Header
    return kind(head[: kind.sizeof_hdr], check=False)


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
