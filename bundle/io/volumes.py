"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files, through ITK; NIfTI files (.nii, .nii.gz), through nibabel."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_single_plane, positive_pair, stated_spacing
from bundle.records.radiograph import identity_pixel_to_lps
from bundle.records.validation import shown

#: Lines that name a data file. They stand in the text at the beginning; what pixels may look like does no harm.
_HEADER_BYTES = 65536
_DATA_FILE = {
    "MetaImage": re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:]?[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE),
    "NRRD": re.compile(rb"^[ \t]*data ?file[ \t]*:=?[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE),
}

#: Where a header ends, and the line in it that names units of length.
_END = {"MetaImage": rb"(?i)ElementDataFile", "NRRD": rb"\r?\n\r?\n"}
_UNIT = {
    "MetaImage": re.compile(r"^[ \t]*(?P<key>distanceunits)[ \t]*[=:][ \t]*(?P<names>[^\r\n]*)", re.MULTILINE),
    "NRRD": re.compile(r"^(?P<key>(space )?units)[ \t]*:(?!=)[ \t]*(?P<names>[^\r\n]*)", re.MULTILINE),
}
_MM_OF_UNIT = {
    **dict.fromkeys(("", "?", "mm", "millimeter"), 1.0),  # an unstated one is millimetres
    **dict.fromkeys(("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "micron", "micrometer"), 0.001),
    **{"nm": 1e-6, "cm": 10.0, "centimeter": 10.0, "m": 1000.0, "meter": 1000.0, "in": 25.4, "inch": 25.4},
}


_MM_OF_NIFTI_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # of the length code in xyzt_units: metre, millimetre, micrometre


def read_itk(path: Path, kind: str, max_pixels: int) -> DecodedImage:
    """Read a MetaImage or NRRD file that holds one 2D image.

    The first axis longer than one pixel is x (columns), the second y (rows). Origin, direction and step are those that
    ITK reports, in LPS. The spacing is that step in the unit that the header states, which ITK passes over; an unstated
    unit is millimetres, and a unit that is no length leaves the proportion of a pixel alone. See
    :func:`bundle.io.decoded.stated_spacing` for when it is unknown besides.

    Args:
        path: the file; for .mhd and .nhdr its data file lies where the header says.
        kind: ``"MetaImage"`` or ``"NRRD"``.
        max_pixels: the largest number of pixels that is decoded.

    Returns:
        The grey values and the geometry. These formats do not say whether low values are bright.

    Raises:
        ImageError: when the file holds more than one slice or colour, or names a data file outside its own
            folder.
    """
    import itk  # takes a second, so only where a file needs it
    from itk.support import helpers

    helpers._HAVE_TORCH = False  # where ITK's filters take tensors, too, they import PyTorch: 3 seconds and 0.8 GB

    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    _check_data_file(path, [name.decode("utf-8", "replace").strip() for name in _DATA_FILE[kind].findall(head)])
    image_io = (itk.MetaImageIO if kind == "MetaImage" else itk.NrrdImageIO).New()
    image_io.SetFileName(str(path))
    image_io.ReadImageInformation()
    dimensions = image_io.GetNumberOfDimensions()
    shape = [image_io.GetDimensions(axis) for axis in range(dimensions)]
    x, y = check_single_plane(path, shape, max_pixels)
    if image_io.GetNumberOfComponents() != 1:
        raise ImageError(
            f"{path} holds {image_io.GetNumberOfComponents()} values per pixel, but a grey image is needed: "
            "save it in grey."
        )
    values = _decode(itk, path, image_io, (shape[y], shape[x]))
    geometry = identity_pixel_to_lps()
    step_x, step_y = float(image_io.GetSpacing(x)), float(image_io.GetSpacing(y))
    in_space = slice(0, min(3, dimensions))
    geometry[in_space, 0] = np.array(image_io.GetDirection(x))[in_space] * step_x
    geometry[in_space, 1] = np.array(image_io.GetDirection(y))[in_space] * step_y
    geometry[in_space, 2] = [image_io.GetOrigin(axis) for axis in range(dimensions)][in_space]
    step = positive_pair((abs(step_x), abs(step_y)))
    mm = _mm_of_unit(head, kind, (x, y))
    spacing = stated_spacing(step, mm) if mm else None
    return DecodedImage(
        values=values,
        spacing=spacing,
        spacing_source=f"{kind} spacing" if spacing else None,
        aspect=step[1] / step[0] if step else 1.0,
        pixel_to_lps=geometry,
    )


def _mm_of_unit(head: bytes, kind: str, axes: tuple[int, int]) -> float | None:
    """Millimetres of the unit along two axes; None where it is no length, or not one for both.

    MetaImage names one for all axes; NRRD one for each axis (``units``), or for each direction of space.
    """
    found = _UNIT[kind].search(re.split(_END[kind], head, maxsplit=1)[0].decode("utf-8", "replace").lower())
    if found is None:
        return 1.0
    names = re.findall('"([^"]*)"', found["names"]) or [found["names"]]
    if found["key"] == "units":
        names = [name for axis in axes for name in names[axis : axis + 1]]
    units = {name.strip().removesuffix("s").replace("metre", "meter") for name in names}
    return _MM_OF_UNIT.get(units.pop()) if len(units) == 1 else None


def _check_data_file(path: Path, named: list[str]) -> None:
    """Refuse a header that would have any file of the machine read as pixels, or a device that never ends.

    The data file has to be one file in the header's folder or below it; lists and patterns of files are for volumes.
    """
    for name in named:
        if name.upper() == "LOCAL":
            continue
        target = Path(name.replace("\\", "/"))
        outside = target.is_absolute() or ".." in target.parts
        several = name.upper().startswith("LIST") or "%" in name
        found = path.parent / target
        if outside or several or (found.exists() and not found.is_file()):
            raise ImageError(
                f"{path} names the data file {shown(name)}, but one file in the folder of the header was "
                "expected: save it anew as one file."
            )


def _decode(itk: Any, path: Path, image_io: Any, size: tuple[int, int]) -> np.ndarray:
    name = image_io.GetComponentTypeAsString(image_io.GetComponentType())
    exact_in_single = {"unsigned_char", "char", "unsigned_short", "short", "float"}
    image = itk.imread(str(path), pixel_type=itk.F if name in exact_in_single else itk.D, imageio=image_io)
    return np.array(itk.array_view_from_image(image)).reshape(size)


def read_nifti(path: Path, max_pixels: int) -> DecodedImage:
    """Read a NIfTI file that holds one 2D image.

    The first axis longer than one pixel is x (columns), the second y (rows), as ITK and 3D Slicer show them. The
    spacing is that of ``pixdim``, whatever the codes of the orientation are; see
    :func:`bundle.io.decoded.stated_spacing` for when it is unknown. Lengths in metres and micrometres are converted,
    an unstated unit is millimetres.

    Args:
        path: the file.
        max_pixels: the largest number of pixels that is decoded.

    Returns:
        The grey values and the geometry. A NIfTI file does not say whether low values are bright.

    Raises:
        ImageError: when the file holds more than one slice, colour or complex numbers.
    """
    import nibabel as nib  # takes a second, so only where a file needs it

    with nib.openers.ImageOpener(str(path)) as file:
        head = file.read(nib.Nifti2Header.sizeof_hdr)
    kind = nib.Nifti2Header if head[4:8] == b"n+2\0" else nib.Nifti1Header
    header = kind(head[: kind.sizeof_hdr], check=False)  # as it is in the file, before nibabel mends it
    image: Any = nib.load(path)
    x, y = check_single_plane(path, image.shape, max_pixels)
    if image.get_data_dtype().names or image.get_data_dtype().kind not in "uif":
        raise ImageError(f"{path} does not hold grey values but {image.get_data_dtype()}: save it in grey.")
    scale = _MM_OF_NIFTI_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    zooms = np.abs(header["pixdim"][1:4].astype(np.float64))
    affine = _slicer_affine(image.header, zooms * scale, scale)
    spacing = stated_spacing((zooms[x], zooms[y]), scale)
    return DecodedImage(
        values=np.squeeze(np.asanyarray(image.dataobj)).T,
        spacing=spacing,
        spacing_source="NIfTI pixdim" if spacing else None,
        pixel_to_lps=affine[:3][:, [x, y, 3]],
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
