"""Reading a run's images one after the other as MONAI images; those that cannot be read are recorded and left out."""

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, list_data_collate
from monai.transforms import MapTransform
from monai.utils.enums import MetaKeys, SpaceKeys
from torch.utils.data import Dataset
from tqdm import tqdm

from bundle.errors import ConfigError, find_bundle_error, one_line
from bundle.io.decoded import DEFAULT_MAX_PIXELS, check_max_pixels, parse_spacing
from bundle.io.landmark_files.checks import refuse_shares
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet, truth_inside
from bundle.records.radiograph import GreyValues, Radiograph


class Failures(list[tuple[str, str]]):
    """Files that a run could not use, each with the reason, in the order in which they were met."""

    def add(self, file: str, reason: str) -> None:
        """Record one file, and say so on standard error."""
        self.append((file, reason))
        tqdm.write(f"error: {one_line(reason)}", file=sys.stderr)  # above the progress bar


class ReadableImages:
    """Batches of one image for an engine, in which no broken file stops the run; the next one is read meanwhile.

    It has no length, on purpose: an engine that were told a length would start again from the first image when a broken
    file made the run shorter.

    Args:
        dataset: a :class:`monai.data.Dataset` whose items are dictionaries with ``image``.
        failures: where broken files are recorded.
    """

    def __init__(self, dataset: Dataset, failures: Failures) -> None:
        self.dataset = dataset
        self.failures = failures

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead: Future[dict[str, Any] | None] | None = None
            for index in range(len(self.dataset)):  # type: ignore[arg-type]
                read, ahead = ahead, pool.submit(self._read, index)
                if read is not None:
                    yield from _present(read)
            if ahead is not None:
                yield from _present(ahead)

    def _read(self, index: int) -> dict[str, Any] | None:
        try:
            return list_data_collate([self.dataset[index]])
        except Exception as error:  # MONAI wraps what a transform raises; only ours is a file's fault
            ours = find_bundle_error(error)
            if ours is None:
                raise
            self.failures.add(self.dataset.data[index]["image"], str(ours))  # type: ignore[attr-defined]
            return None


def _present(read: Future[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    batch = read.result()
    if batch is not None:
        yield batch


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


class LoadRadiographd(MapTransform):
    """Read the radiographs of an item, each as a :class:`monai.data.MetaTensor`.

    An item holds images, files or grey values of shape (H, W), under ``keys``. It may also hold their
    ``pixel_spacing`` and ``flip``, which go before those of the constructor, and points ``(x, y)`` of them in pixels as
    ``label``.

    A tensor has the shape (1, H, W), float32, 0 to 1, bone bright, rows as in the image (MONAI's own readers give
    (W, H)). Its ``affine`` maps ``(row, column, 0, 1)`` to RAS in mm, where 3D Slicer shows that pixel. Its ``meta``
    adds, beside MONAI's own entries:

    - ``filename_or_obj``: the path, str.
    - ``spatial_shape``: array (H, W).
    - ``pixel_spacing``: tuple ``(x, y)`` of float in mm, NaN where unknown, so that items collate.
    - ``pixel_size``: the spacing, or where it is unknown, the proportion of a pixel's sides alone, ``(x, y)``.
    - ``spacing_source``: the rule that gave the spacing, ``""`` where unknown.
    - ``pixel_to_lps``: array of shape (3, 3), see :class:`bundle.records.radiograph.ImageGeometry`.
    - ``laterality`` and ``rows_towards``: as in :class:`bundle.records.radiograph.SidedGeometry`, ``""`` where unknown.
    - ``mirror``: whether the image shows the other side than the template, ``"yes"``, ``"no"``, ``"auto"`` where that
      is to be found out, ``"refuse"`` where such images are not to be used; the tensor always lies as in the file.

    Args:
        keys: the keys that hold images.
        allow_missing_keys: whether an item without one of ``keys`` is passed through.
        spacing: millimetres per pixel, one number or ``(x, y)``, that overrides what the files say.
        flip: which images may show the other side, see :func:`bundle.data.readable.check_flip`.
        max_pixels: the largest number of pixels that is decoded.
        invert: True makes low values bright, False high values; None follows the file.
        voi_lut: whether to apply the window or the table that a DICOM file proposes for display.
        grey_values: how they become 0 to 1.

    Raises:
        ConfigError: when ``spacing``, ``flip`` or ``max_pixels`` is out of range.
    """

    def __init__(
        self,
        keys: KeysCollection,
        allow_missing_keys: bool = False,
        *,
        spacing: float | Sequence[float] | None = None,
        flip: Any = "auto",
        max_pixels: int = DEFAULT_MAX_PIXELS,
        invert: bool | None = None,
        voi_lut: bool = False,
        grey_values: GreyValues = "stretch",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing, self.flip = parse_spacing(spacing), check_flip(flip)
        self.settings: dict[str, Any] = {"invert": invert, "voi_lut": voi_lut, "grey_values": grey_values}
        self.settings["max_pixels"] = check_max_pixels(max_pixels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the images of one item.

        Returns:
            A copy of the item with an image of shape (1, H, W) under each of ``keys``.

        Raises:
            ImageError: when a file cannot be read as one radiograph.
            ConfigError: when the item's own spacing is not one or two positive numbers, or its flip is unknown.
            LandmarkError: when most of the item's points lie outside its image, or are shares or percentages of its
                sides; single ones outside become NaN.
        """
        item = dict(data)
        spacing = parse_spacing(item.get("pixel_spacing")) or self.spacing
        flip = self.flip if item.get("flip") is None else check_flip(item["flip"])
        for key in self.key_iterator(item):
            radiograph = read_radiograph(item[key], spacing, **self.settings)
            item[key] = _as_tensor(radiograph, mirror(flip, radiograph))
            if "label" in item:
                item["label"] = _inside(np.asarray(item["label"]), radiograph)
        return item


def _as_tensor(radiograph: Radiograph, mirrored: str) -> MetaTensor:
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
        "mirror": mirrored,
    }
    return MetaTensor(torch.from_numpy(radiograph.pixels)[None], affine=torch.from_numpy(affine), meta=meta)


def _inside(points: np.ndarray, image: Radiograph) -> np.ndarray:
    """True points without those outside the image; where that is most of them, they are of another image."""
    where = f"the true landmarks of {image.path}"
    refuse_shares(where, points, (image.width, image.height))
    inside = truth_inside(points, image.width, image.height)
    if np.isfinite(points).sum() > 2 * np.isfinite(inside).sum():
        names = tuple(str(number) for number in range(1, len(points) + 1))
        LandmarkSet(names, points).require_inside(image.width, image.height, where, missing=True)
    return inside


#: What the setting ``flip`` says of every image, and how :class:`bundle.model.PosedInferer` is told.
_OF_ALL = {"horizontal": "yes", "auto": "auto", "refuse": "refuse"}

#: Attributes of :class:`bundle.records.radiograph.SidedGeometry` that may decide, and their values.
_OF_THE_HEADER = {"laterality": "LR", "rows_towards": "APLRHF"}


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
