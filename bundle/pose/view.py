"""An image as the matching sees it, and the way back to its own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bundle.pose.affine import apply, inside, mean_scale, scaling, warp
from bundle.pose.fitting import weighted_similarity
from bundle.records.prediction import PREDICTION_COLUMNS

#: A pixel's height over its width may differ from the template's by so much before an image is stretched.
_SAME_SHAPE = 0.01
#: A stretch beyond this comes from a wrong spacing.
_MAX_STRETCH = 10.0
#: By what share of its long side the template's frame grows at each end of both axes, and of the short axis at most:
#: an image of another shape has its anatomy elsewhere in the frame.
_GROWN, _MOST_GROWN = 0.03, 0.15
#: The strip around an image, as a share of the canvas's long side, that its border's values fill: at first, and where
#: it is looked at again.
_STRIP, _WIDE_STRIP = 0.03, 0.05
#: The long side of a canvas is no longer than this, or than the template's: the matching looks no closer.
_LONGEST = 2400

#: Lengths beside which a landmark's distance from the border counts: shares of the layout's extent, which is at least
#: a share of the image's long side.
_SHARPEST, _SMALLEST_LAYOUT = 0.01, 0.1
#: What a landmark counts that cannot be seen, beside those that can (a root).
_UNSEEN = 0.3

_XY = [PREDICTION_COLUMNS.index(name) for name in ("x", "y")]
_LENGTHS = [PREDICTION_COLUMNS.index(name) for name in ("spread", "expected_error")]  # in pixels of the image


class Field(NamedTuple):
    """The part of an image that shows something: without the uniform frame of a collimation or an export.

    Attributes:
        left: its first column.
        top: its first row.
        width: its columns.
        height: its rows.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def shift(self) -> np.ndarray:
        """(3, 3), from pixels of the image to pixels of the field."""
        return np.array([[1.0, 0.0, -self.left], [0.0, 1.0, -self.top], [0.0, 0.0, 1.0]])

    def part(self, image: Tensor) -> Tensor:
        """What an image of shape (..., H, W) shows there."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Which of (N, 2) points of the image lie in it."""
        return inside(apply(self.shift, points), (self.height, self.width))


@dataclass(frozen=True)
class View:
    """A canvas on which an image is seen.

    Attributes:
        to_image: (3, 3), from pixels of the canvas to pixels of the image.
        size: (height, width) of the canvas.
        inverted: whether the image is seen as its negative.
        field: the part of the image that is seen; None for all of it.
        beyond: (1, 1, height, width), the template, seen where the field does not reach; None for its border's values.
        landmarks: (N, 2), where the landmarks of ``beyond`` are on the canvas.
        strip: how far beyond the field its border's values are seen all the same, as a share of the long side.
    """

    to_image: np.ndarray
    size: tuple[int, int]
    inverted: bool = False
    field: Field | None = None
    beyond: Tensor | None = None
    landmarks: np.ndarray | None = None
    strip: float = _STRIP

    def see(self, image: Tensor) -> Tensor:
        """The image, (1, 1, H, W), on the canvas; itself where nothing has to change."""
        matrix = self.to_image
        if self.field is not None:
            image, matrix = self.field.part(image), self.field.shift @ matrix
        if self.size != tuple(image.shape[-2:]) or not np.array_equal(matrix, np.eye(3)):
            seen = warp(image, matrix, self.size)
        else:
            seen = image
        seen = 1 - seen if self.inverted else seen
        return seen if self.beyond is None else torch.where(self._far(image, matrix), self.beyond, seen)

    def _far(self, image: Tensor, matrix: np.ndarray) -> Tensor:
        """Where the canvas, (height, width), lies beyond the image by more than a strip that its border may fill."""
        x = torch.arange(self.size[1], device=image.device)
        y = torch.arange(self.size[0], device=image.device)[:, None]
        strip = self.strip * max(self.size) * mean_scale(matrix)
        far = torch.zeros(self.size, dtype=torch.bool, device=image.device)
        for (along, across, start), side in zip(matrix[:2].tolist(), (image.shape[-1], image.shape[-2])):
            place = along * x + across * y + start
            far |= (place < -0.5 - strip) | (place > side - 0.5 + strip)
        return far

    def following(self, found: Tensor, visible: Tensor) -> View:
        """The same canvas, but the image's landmarks that were found in the field are seen where the template's are.

        A landmark near the border that the pose puts beyond it would else be found there, on the template itself; so
        the template is seen farther away, too.

        Args:
            found: (N, 7), in pixels of the image.
            visible: (N,), which of the landmarks lie in the field.
        """
        if self.landmarks is None:
            return self
        here = apply(np.linalg.inv(self.to_image), found[:, _XY].double().cpu().numpy())
        roots = torch.where(visible, 1.0, _UNSEEN) / _errors(found)
        moved = weighted_similarity(self.landmarks, here, roots.cpu().numpy())
        return replace(self, to_image=self.to_image @ moved, strip=_WIDE_STRIP)

    def back(self, found: Tensor) -> Tensor:
        """What was found on the canvas, (..., N, 7), in pixels of the image."""
        if np.array_equal(self.to_image, np.eye(3)):
            return found
        result = found.clone()
        places = found[..., _XY].double().cpu().numpy()
        result[..., _XY] = torch.from_numpy(apply(self.to_image, places)).to(found)
        # Root mean square lengths: half of the square lies along each axis.
        result[..., _LENGTHS] = found[..., _LENGTHS] * float(np.linalg.norm(self.to_image[:2, :2]) / math.sqrt(2))
        return result


def missing_probability(found: Tensor, field: Field) -> Tensor:
    """How probable it is that each landmark lies outside the field of an image, by where it was found.

    Args:
        found: (N, 7), in pixels of the image.
        field: the part of the image that shows something.

    Returns:
        (N,), one half on the border, and the surer the farther from it beside the expected error.
    """
    points = found[:, _XY].double()
    first, size = (torch.tensor(pair, dtype=points.dtype, device=points.device) for pair in (field[:2], field[2:]))
    outside = torch.maximum(first - 0.5 - points, points - (first + size - 0.5)).amax(dim=1)
    return torch.sigmoid(outside / _errors(found, _SMALLEST_LAYOUT * max(field[2:]))).to(found.dtype)


def _errors(found: Tensor, least_extent: float = 1.0) -> Tensor:
    """The expected errors of what was found, (N, 7), none below a share of the layout's extent."""
    points = found[:, _XY].double()
    extent = float((points.amax(dim=0) - points.amin(dim=0)).norm().clamp(min=least_extent))
    return found[:, _LENGTHS[1]].double().nan_to_num(0.0).clamp(min=_SHARPEST * extent)


def as_it_lies(
    size: tuple[int, int],
    aspect: float = 1.0,
    template_aspect: float = 1.0,
    *,
    mirrored: bool = False,
    quarters: int = 0,
    inverted: bool = False,
) -> View:
    """An image of (height, width) as a whole; no pixel is interpolated but where its shape is not the template's.

    Args:
        size: (height, width) of the image.
        aspect: height over width of its pixels.
        template_aspect: that of the template's pixels; an axis with too few pixels is stretched.
        mirrored: whether it is seen in the mirror.
        quarters: by how many quarters of a turn the image is turned, counter-clockwise; it is seen upright.
        inverted: whether it is seen as its negative.
    """
    odd = quarters % 2 == 1
    rows, columns = size[::-1] if odd else size
    stretch = (1 / aspect if odd else aspect) / template_aspect
    height, width = rows, columns
    if abs(stretch - 1.0) > _SAME_SHAPE and 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
        height, width = (round(rows * stretch), columns) if stretch > 1 else (rows, round(columns / stretch))
    cosine, sine = [(1, 0), (0, -1), (-1, 0), (0, 1)][quarters % 4]
    linear = np.array([[cosine, -sine], [sine, cosine]], dtype=np.float64)
    turned = np.eye(3)
    turned[:2, :2] = linear * [-1.0, 1.0] if mirrored else linear
    turned[:2, 2] = np.array([size[1] - 1, size[0] - 1]) / 2 - turned[:2, :2] @ [(columns - 1) / 2, (rows - 1) / 2]
    return View(turned @ scaling(columns / width, rows / height), (height, width), inverted)


def in_template_frame(
    to_image: np.ndarray, template: Tensor, landmarks: np.ndarray, field: Field, inverted: bool
) -> View:
    """An image as the template was seen, and a little around it as far as the image reaches.

    Where the field does not reach, the template itself is seen: landmarks that are cut off are then found about where
    they would be, and do not mislead the others.

    Args:
        to_image: (3, 3), from pixels of the template to pixels of the image.
        template: (1, 1, height, width).
        landmarks: (N, 2), in pixels of the template.
        field: the part of the image that shows something.
        inverted: whether the image is the template's negative.
    """
    side = np.array([template.shape[-1], template.shape[-2]])
    left, top, right, bottom = field.left, field.top, field.left + field.width, field.top + field.height
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) - 0.5
    reach = apply(np.linalg.inv(to_image), corners) + 0.5
    short_of_square = (side.max() - side) / 2
    grown = np.maximum(np.minimum(short_of_square, _MOST_GROWN * side.max()), _GROWN * side.max())
    low = np.minimum(0, np.maximum(-grown, reach.min(axis=0)))
    high = np.maximum(side, np.minimum(side + grown, reach.max(axis=0)))
    finer = max(1.0, min(mean_scale(to_image), _LONGEST / float((high - low).max())))
    width, height = (max(1, int(length)) for length in ((high - low) * finer).round())
    to_template = scaling(1 / finer, 1 / finer)
    to_template[:2, 2] += low
    view = View(to_image @ to_template, (height, width), inverted, field)
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    if field.holds(apply(view.to_image, corners)).all():
        return view
    seen = warp(template, to_template, view.size)
    return replace(view, beyond=seen, landmarks=apply(np.linalg.inv(to_template), landmarks))
