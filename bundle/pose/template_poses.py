"""The template in many poses, each described once and only when it is asked for."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bundle.encoders.base import FrozenEncoder
from bundle.pose.affine import apply, inside, scaling, warp
from bundle.pose.description import Places, cell_centres, describe, encode, shrink, whitening
from bundle.records.radiograph import Template

#: Long side in pixels at which poses are searched, and at which the one found is refined.
SIDE, FINE_SIDE = 320, 480
#: Cells of the template that are matched, at most; those in the landmarks' rectangle, grown by a share of its diagonal,
#: come first, for these a query must show. Which ones is drawn from the seed 0.
CELLS, GROWN = 600, 0.05
#: Cells nearer than this to the template's border, in pixels of the small image, see what is not the template.
MARGIN = 3.0


class Hypothesis(NamedTuple):
    """A pose of the template.

    Attributes:
        mirrored: whether it is seen in the mirror.
        angle: degrees by which it is turned, counter-clockwise.
        scale: its size beside :data:`SIDE`.
    """

    mirrored: bool
    angle: float
    scale: float


class TemplatePoses:
    """One annotated image in all the poses in which it is looked for.

    Args:
        template: the annotated image.
        encoder: what describes it.
        device: where.
    """

    def __init__(self, template: Template, encoder: FrozenEncoder, device: torch.device) -> None:
        self.encoder = encoder
        self.aspect = template.pixel_size[1] / template.pixel_size[0]
        self.size = template.size
        self.image = torch.from_numpy(template.image)[None, None].to(device)
        self.square = scaling(1.0, self.aspect)
        self.points = template.landmarks.points.astype(np.float64)
        self.landmarks = apply(self.square, self.points)
        self._scales: dict[float, tuple[Tensor, np.ndarray, Tensor]] = {}
        self._places: dict[Hypothesis, Places] = {}

    @property
    def long_side(self) -> float:
        """Of the template, in its square pixels."""
        return max(self.size[0] * self.aspect, self.size[1])

    def at_scale(self, scale: float) -> tuple[Tensor, np.ndarray, Tensor]:
        """The small template, the map from its square pixels to those of the small one, and the whitening there."""
        if scale not in self._scales:
            small, to_small = shrink(self.image, self.aspect, SIDE * scale, self.encoder)
            self._scales[scale] = small, to_small, whitening(encode(small, self.encoder))
        return self._scales[scale]

    def places(self, hypothesis: Hypothesis, most: int | None = CELLS) -> Places:
        """Places of the template, in its square pixels, and what they look like in a pose."""
        if hypothesis not in self._places:
            self._places[hypothesis] = self._described(hypothesis, most)
        return self._places[hypothesis]

    def _described(self, hypothesis: Hypothesis, most: int | None) -> Places:
        small, to_small, matrices = self.at_scale(hypothesis.scale)
        size = int(small.shape[-2]), int(small.shape[-1])
        canvas, to_canvas = _turned(size, hypothesis, self.encoder.stride)
        features = encode(warp(small, np.linalg.inv(to_canvas), canvas), self.encoder)
        on_small = apply(np.linalg.inv(to_canvas), cell_centres(canvas, self.encoder))
        seen = np.flatnonzero(inside(on_small, size, MARGIN))
        points = apply(np.linalg.inv(to_small), on_small[seen])
        descriptors = describe(features[:, :, torch.from_numpy(seen).to(features.device)], matrices)
        if most is not None and len(points) > most:
            kept = self._most_useful(points, most)
            points, descriptors = points[kept], descriptors[torch.from_numpy(kept).to(descriptors.device)]
        return Places(points, descriptors)

    def _most_useful(self, points: np.ndarray, most: int) -> np.ndarray:
        low, high = self.landmarks.min(axis=0), self.landmarks.max(axis=0)
        grown = GROWN * np.linalg.norm(high - low)
        far = ~((points > low - grown) & (points < high + grown)).all(axis=1)
        return np.sort(np.argsort(np.random.default_rng(0).random(len(points)) + far)[:most])


def _turned(size: tuple[int, int], pose: Hypothesis, stride: int) -> tuple[tuple[int, int], np.ndarray]:
    """The canvas (height, width) that holds a turned image of (height, width), and the map from the image to it."""
    angle = math.radians(-pose.angle)
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if pose.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    extent = np.abs(linear) @ [size[1], size[0]]
    width, height = (max(4 * stride, math.ceil(round(side, 3) / stride) * stride) for side in extent)
    to_canvas = np.eye(3)
    to_canvas[:2, :2] = linear
    to_canvas[:2, 2] = np.array([width - 1, height - 1]) / 2 - linear @ [(size[1] - 1) / 2, (size[0] - 1) / 2]
    return (height, width), to_canvas
