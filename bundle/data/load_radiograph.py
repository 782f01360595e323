"""Loading a radiograph as a MONAI image, with the side that it may show."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils.enums import MetaKeys, SpaceKeys

from bundle.errors import ConfigError
from bundle.io.decoded import DEFAULT_MAX_PIXELS, check_max_pixels, parse_spacing
from bundle.io.landmark_files.checks import refuse_shares
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet, truth_inside
from bundle.records.radiograph import Radiograph

#: What the setting ``flip`` says of every image, and how :class:`bundle.model.PosedInferer` is told.
_OF_ALL = {"horizontal": "yes", "auto": "auto", "refuse": "refuse"}

#: Attributes of :class:`bundle.records.radiograph.Radiograph` that may decide, and their values.
_OF_THE_HEADER = {"laterality": "LR", "rows_towards": "APLRHF"}


def array_index_to_ras(pixel_to_lps: np.ndarray) -> np.ndarray:
    """The MONAI affine of a radiograph.

    Args:
        pixel_to_lps: array of shape (3, 3) that maps ``(x, y, 1)`` in pixels to LPS in mm.

    Returns:
        Array of shape (4, 4), float64, that maps the array index ``(row, column, 0, 1)`` to RAS in mm. Its third
        column is the unit normal of the image plane, so that it can be inverted.
    """
    ras = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(pixel_to_lps, dtype=np.float64)
    normal = np.cross(ras[:, 1], ras[:, 0])
    length = np.linalg.norm(normal)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = ras[:, 1], ras[:, 0], ras[:, 2]
    affine[:3, 2] = normal / length if length > 0 else normal
    return affine


class LoadRadiograph(Transform):
    """Read one radiograph from a file as a :class:`monai.data.MetaTensor`.

    The tensor has the shape (1, H, W), float32, 0 to 1, bone bright, rows as in the image (MONAI's own readers give
    (W, H)). Its ``affine`` maps ``(row, column, 0, 1)`` to RAS in mm, where 3D Slicer shows that pixel. Its ``meta``
    adds, beside MONAI's own entries:

    - ``filename_or_obj``: the path, str.
    - ``spatial_shape``: array (H, W).
    - ``pixel_spacing``: tuple ``(x, y)`` of float in mm, NaN where unknown, so that items collate.
    - ``pixel_size``: the spacing, or where it is unknown, the proportion of a pixel's sides alone, ``(x, y)``.
    - ``spacing_source``: the rule that gave the spacing, ``""`` where unknown.
    - ``pixel_to_lps``: array of shape (3, 3), see :class:`bundle.records.radiograph.Radiograph`.
    - ``laterality`` and ``rows_towards``: as in :class:`bundle.records.radiograph.Radiograph`, ``""`` where unknown.
    - ``mirror``: whether the image shows the other side than the template, ``"yes"``, ``"no"``, ``"auto"`` where that
      is to be found out, ``"refuse"`` where such images are not to be used; the tensor always lies as in the file.

    Args:
        spacing: millimetres per pixel, one number or ``(x, y)``, that overrides what the files say.
        invert: True makes low values bright, False high values; None follows the file.
        voi_lut: whether to apply the window or the table that a DICOM file proposes for display.
        flip: which images may show the other side, see :func:`bundle.data.load_radiograph.check_flip`.
        max_pixels: the largest number of pixels that is decoded.
        grey_values: how they become 0 to 1, see :func:`bundle.io.intensity.scale_to_unit`.

    Raises:
        ConfigError: when ``spacing``, ``flip`` or ``max_pixels`` is out of range.
    """

    def __init__(
        self,
        spacing: float | Sequence[float] | None = None,
        invert: bool | None = None,
        voi_lut: bool = False,
        flip: Any = "auto",
        max_pixels: int = DEFAULT_MAX_PIXELS,
        grey_values: str = "stretch",
    ) -> None:
        self.spacing = parse_spacing(spacing)
        self.invert = invert
        self.voi_lut = voi_lut
        self.flip = check_flip(flip)
        self.max_pixels = check_max_pixels(max_pixels)
        self.grey_values = grey_values

    def __call__(
        self, image: str | Path | np.ndarray, spacing: float | Sequence[float] | None = None, flip: Any = None
    ) -> MetaTensor:
        """Read an image.

        Args:
            image: the image file, or grey values of shape (H, W).
            spacing: the pixel spacing of this image, before that of the constructor; None for that one.
            flip: whether this image does, before that of the constructor; None for that one.

        Returns:
            The image, of shape (1, H, W).

        Raises:
            ImageError: when the file cannot be read as one radiograph.
            ConfigError: when ``spacing`` is not one or two positive numbers, or ``flip`` is unknown.
        """
        flip = self.flip if flip is None else check_flip(flip)
        radiograph = read_radiograph(
            image,
            parse_spacing(spacing) or self.spacing,
            invert=self.invert,
            voi_lut=self.voi_lut,
            max_pixels=self.max_pixels,
            grey_values=self.grey_values,
        )
        affine = array_index_to_ras(radiograph.pixel_to_lps)
        meta = {
            MetaKeys.SPATIAL_SHAPE: np.array(radiograph.pixels.shape),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            "filename_or_obj": str(radiograph.path),
            "pixel_spacing": radiograph.spacing or (float("nan"), float("nan")),
            "pixel_size": radiograph.pixel_size,
            "spacing_source": radiograph.spacing_source or "",
            "pixel_to_lps": radiograph.pixel_to_lps,
            "laterality": radiograph.laterality or "",
            "rows_towards": radiograph.rows_towards or "",
            "mirror": mirror(flip, radiograph),
        }
        return MetaTensor(torch.from_numpy(radiograph.pixels)[None], affine=torch.from_numpy(affine), meta=meta)


class LoadRadiographd(MapTransform):
    """Dictionary version of :class:`LoadRadiograph`: replaces the paths under ``keys`` by images.

    An item may hold the ``pixel_spacing`` and the ``flip`` of its own images, and points ``(x, y)`` of them in pixels
    as ``label``.

    Args:
        keys: the keys that hold image paths.
        allow_missing_keys: whether an item without one of ``keys`` is passed through.
        settings: those of :class:`LoadRadiograph`.

    Raises:
        ConfigError: when ``spacing``, ``flip`` or ``max_pixels`` is out of range.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False, **settings: Any) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadRadiograph(**settings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the images of one data item.

        Args:
            data: the item, with a path under each of ``keys``.

        Returns:
            A copy of the item with an image of shape (1, H, W) under each of ``keys``.

        Raises:
            ImageError: when a file cannot be read as one radiograph.
            ConfigError: when the item's own spacing is not one or two positive numbers, or its flip is unknown.
            LandmarkError: when most of the item's points lie outside its image, or are shares or percentages of its
                sides; single ones outside become NaN.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.load(item[key], spacing=data.get("pixel_spacing"), flip=data.get("flip"))
            if "label" in item:
                height, width = item[key].shape[-2:]
                item["label"] = _inside(np.asarray(item["label"]), width, height, data[key])
        return item


def _inside(points: np.ndarray, width: int, height: int, path: Any) -> np.ndarray:
    """True points without those outside the image; where that is most of them, they are of another image."""
    where = f"the true landmarks of {path}"
    refuse_shares(where, points, (width, height))
    inside = truth_inside(points, width, height)
    if np.isfinite(points).sum() > 2 * np.isfinite(inside).sum():
        names = tuple(str(number) for number in range(1, len(points) + 1))
        LandmarkSet(names, points).require_inside(width, height, where, missing=True)
    return inside


def check_flip(setting: Any) -> Any:
    """Validate the setting ``flip``.

    Args:
        setting: None or False for no image; ``"horizontal"`` or True for all images; ``"auto"`` for those in which
            the pose is found so; ``"refuse"`` to use none of these; ``{"laterality": "L"}`` for images whose file names
            that side; ``{"rows_towards": "P"}`` for images whose columns are counted in that direction of the patient.

    Returns:
        The same.

    Raises:
        ConfigError: when it is something else.
    """
    by_header = [{name: letter} for name, letters in _OF_THE_HEADER.items() for letter in letters]
    if setting is not None and not isinstance(setting, bool) and setting not in [*_OF_ALL, *by_header]:
        raise ConfigError(
            f"flip is {setting!r}, expected null, 'horizontal', 'auto', 'refuse', {{'laterality': 'L' or 'R'}} or "
            "{'rows_towards': 'A', 'P', 'L', 'R', 'H' or 'F'}: choose one."
        )
    return setting


def mirror(setting: Any, radiograph: Radiograph) -> str:
    """Whether an image is mirrored: ``"yes"``, ``"no"``, ``"auto"`` to look for both, or ``"refuse"`` if it is."""
    if isinstance(setting, Mapping):
        ((attribute, value),) = setting.items()
        stated = getattr(radiograph, attribute)
        return "auto" if not stated else "yes" if stated[0] == value else "no"
    return _OF_ALL.get(setting, "yes" if setting else "no")
