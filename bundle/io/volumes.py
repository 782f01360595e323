"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files, through ITK."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_single_plane
from bundle.io.spacing import positive_pair, stated_spacing
from bundle.records.radiograph import identity_pixel_to_lps

#: How a name out of a header is shown.
_SHORT = reprlib.Repr()
_SHORT.maxstring = 100

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


def read_itk(path: Path, kind: str, max_pixels: int) -> DecodedImage:
    """Read a MetaImage or NRRD file that holds one 2D image.

    The first axis longer than one pixel is x (columns), the second y (rows). Origin, direction and step are those that
    ITK reports, in LPS. The spacing is that step in the unit that the header states, which ITK passes over; an unstated
    unit is millimetres, and a unit that is no length leaves the proportion of a pixel alone. See
    :func:`bundle.io.spacing.stated_spacing` for when it is unknown besides.

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
                f"{path} names the data file {_SHORT.repr(name)}, but one file in the folder of the header was "
                "expected: save it anew as one file."
            )


def _decode(itk: Any, path: Path, image_io: Any, size: tuple[int, int]) -> np.ndarray:
    name = image_io.GetComponentTypeAsString(image_io.GetComponentType())
    exact_in_single = {"unsigned_char", "char", "unsigned_short", "short", "float"}
    image = itk.imread(str(path), pixel_type=itk.F if name in exact_in_single else itk.D, imageio=image_io)
    return np.array(itk.array_view_from_image(image)).reshape(size)
