"""From pixels to millimetres, where the size of a pixel is known."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any

import torch
from monai.transforms import MapTransform
from pydantic import Field, field_validator
from torch import Tensor

from bundle.errors import ConfigError
from bundle.records.radiograph import Template
from bundle.records.validation import Pair, Validated, validate


class ReferenceLength(Validated):
    """A length that is known in every image, from which the size of a pixel follows.

    Hands without a detector spacing are measured this way: the wrist, landmarks 0 and 4, is taken to be 50 mm wide.

    Attributes:
        landmarks: the two landmarks between which the length runs, 0-based.
        millimetres: the length.
    """

    landmarks: Pair[Annotated[int, Field(ge=0)]]
    millimetres: float = Field(gt=0)

    @field_validator("landmarks")
    @classmethod
    def _check_landmarks(cls, landmarks: tuple[int, int]) -> tuple[int, int]:
        if landmarks[0] == landmarks[1]:
            raise ValueError("two different landmarks counted from 0")
        return landmarks

    def spacing(self, points: Tensor, size: Tensor) -> Tensor:
        """Millimetres per pixel ``(x, y)``, from landmarks.

        Args:
            points: (N, 2), ``(x, y)`` in pixels.
            size: (2,), width and height of a pixel in any unit, of which only the proportion counts.

        Returns:
            tensor of shape (2,); NaN where a landmark is missing.
        """
        first, second = self.landmarks
        sides = size / size[0]
        length = ((points[first] - points[second]) * sides).norm()
        return self.millimetres / length.where(length > 0, torch.nan) * sides


def read_reference_length(settings: Mapping[str, Any] | None, template: Template) -> ReferenceLength | None:
    """The reference length of a configuration.

    Args:
        settings: ``landmarks`` and ``millimetres`` (see :class:`ReferenceLength`), or None for none.
        template: the annotated image, whose landmarks are counted.

    Raises:
        ConfigError: when the settings are not these two, or there are too few landmarks.
    """
    if not settings:
        return None
    found, count = validate(ReferenceLength, settings, "reference_length"), len(template.landmarks)
    if max(found.landmarks) >= count and not template.missing:
        raise ConfigError(
            f"reference_length.landmarks is {list(found.landmarks)}, but there are {count} landmarks, counted from 0: "
            "correct it."
        )
    return found


class PointsInMillimetresd(MapTransform):
    """Add the size of a pixel and the points in millimetres to an item.

    The item's ``image`` is a MetaTensor with ``pixel_spacing`` and ``pixel_size`` in its meta data.

    Adds ``spacing``, (2,) millimetres a pixel ``(x, y)``, NaN where unknown; ``spacing_source``, the rule that gave it,
    empty where unknown; and for each key that is present ``<key>_mm``, (N, 2), NaN where the spacing is unknown.

    Args:
        keys: the keys of points, whose first two columns are pixels ``(x, y)``.
        reference_length: a length that is known in every image, which then decides instead of the image's own spacing;
            the proportion of a pixel's sides stays.

    The points that the reference length is measured on are those of the first key that is present: name the truth
    first, so that an evaluation does not depend on the prediction.
    """

    def __init__(self, keys: Sequence[str], reference_length: ReferenceLength | None = None) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.reference_length = reference_length

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the keys named above."""
        result = dict(data)
        present = [key for key in self.keys if isinstance(result.get(key), Tensor)]
        points = {key: torch.as_tensor(result[key])[:, :2] for key in present}
        like = points[present[0]]
        meta = getattr(result.get("image"), "meta", {})
        spacing, source = _pair(meta.get("pixel_spacing", [math.nan] * 2), like), meta.get("spacing_source", "")
        if self.reference_length is not None:
            spacing = self.reference_length.spacing(like, _pair(meta.get("pixel_size", [1.0] * 2), like))
            source = "reference length"
        result["spacing"] = spacing
        result["spacing_source"] = source if bool(torch.isfinite(spacing).all()) else ""
        for key, value in points.items():
            result[f"{key}_mm"] = value * spacing.to(value.device, value.dtype)
        return result


def _pair(values: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).reshape(2)
