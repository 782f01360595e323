"""An image as the matching sees it, and the way back to its own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bundle.pose.affine import apply, mean_scale, scaling, warp
from bundle.records.prediction import PREDICTION_COLUMNS

#: A pixel's height over its width may differ from the template's by so much before an image is stretched.
_SAME_SHAPE = 0.01
#: A stretch beyond this comes from a wrong spacing.
_MAX_STRETCH = 10.0
#: By what share of its long side the template's frame grows at each end of both axes, and of the short axis at most:
#: an image of another shape has its anatomy elsewhere in the frame.
_GROWN, _MOST_GROWN = 0.03, 0.15
#: The long side of a canvas is no longer than this, or than the template's: the matching looks no closer.
_LONGEST = 2400

_XY = [PREDICTION_COLUMNS.index(name) for name in ("x", "y")]
_LENGTHS = [PREDICTION_COLUMNS.index(name) for name in ("spread", "expected_error")]  # in pixels of the image


@dataclass(frozen=True)
class View:
    """A canvas on which an image is seen.

    Attributes:
        to_image: (3, 3), from pixels of the canvas to pixels of the image.
        size: (height, width) of the canvas.
        inverted: whether the image is seen as its negative.
    """

    to_image: np.ndarray
    size: tuple[int, int]
    inverted: bool = False

    def see(self, image: Tensor) -> Tensor:
        """The image, (1, 1, H, W), on the canvas; itself where nothing has to change."""
        if self.size != tuple(image.shape[-2:]) or not np.array_equal(self.to_image, np.eye(3)):
            image = warp(image, self.to_image, self.size)
        return 1 - image if self.inverted else image

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


def in_template_frame(to_image: np.ndarray, template: tuple[int, int], image: tuple[int, int], inverted: bool) -> View:
    """An image as the template was seen, and a little around it as far as the image reaches.

    Args:
        to_image: (3, 3), from pixels of the template to pixels of the image.
        template: (height, width).
        image: (height, width).
        inverted: whether the image is the template's negative.
    """
    side = np.array([template[1], template[0]])
    corners = np.array([[0, 0], [image[1], 0], [0, image[0]], [image[1], image[0]]]) - 0.5
    reach = apply(np.linalg.inv(to_image), corners) + 0.5
    short_of_square = (side.max() - side) / 2
    grown = np.maximum(np.minimum(short_of_square, _MOST_GROWN * side.max()), _GROWN * side.max())
    low = np.minimum(0, np.maximum(-grown, reach.min(axis=0)))
    high = np.maximum(side, np.minimum(side + grown, reach.max(axis=0)))
    finer = max(1.0, min(mean_scale(to_image), _LONGEST / float((high - low).max())))
    width, height = (max(1, int(length)) for length in ((high - low) * finer).round())
    to_template = scaling(1 / finer, 1 / finer)
    to_template[:2, 2] += low
    return View(to_image @ to_template, (height, width), inverted)
