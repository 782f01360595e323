"""From an image to the template's frame and back: which side faces where, and the shape of a pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor

from bundle.networks.resampling import resize
from bundle.records.prediction import PREDICTION_COLUMNS

#: A pixel's height over its width may differ from the template's by so much before an image is stretched.
_SAME_SHAPE = 0.01
#: A stretch beyond this comes from a wrong spacing.
_MAX_STRETCH = 10.0

_X, _Y, _CONFIDENCE = (PREDICTION_COLUMNS.index(name) for name in ("x", "y", "confidence"))
_LENGTHS = [PREDICTION_COLUMNS.index(name) for name in ("spread", "expected_error")]  # in pixels of the image


@dataclass(frozen=True)
class ImageFrame:
    """How one image lies.

    Attributes:
        mirror: ``"yes"`` where it shows the other side than the template, ``"no"``, or ``"auto"`` where that is
            to be found out.
        pixel_size: width and height of a pixel in any unit.
    """

    mirror: str
    pixel_size: tuple[float, float]


class TemplateFrameInferer(Inferer):
    """Lets another inferer see each image as the template was seen, and gives the points back in the image's pixels.

    The meta data of a :class:`monai.data.MetaTensor`, as :class:`bundle.data.LoadRadiograph` writes it, says how
    an image lies: ``mirror`` and ``pixel_size``. An image of another pixel shape than the template's is stretched
    along the axis on which it has the fewer pixels. An image to try both ways is
    matched as it is and in the mirror, and the match of the higher mean confidence is kept. All other images go
    to the inferer unchanged.

    Args:
        inferer: finds landmarks: (B, 1, H, W) and a network to (B, N, 7).
        template_pixel: width and height of a pixel of the template in any unit.
    """

    def __init__(self, inferer: Callable[..., Tensor], template_pixel: Sequence[float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.inferer = inferer
        self.template_shape = _pixel_shape(template_pixel)

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Find the landmarks.

        Args:
            inputs: images of shape (B, 1, H, W); without meta data they are taken as they are.
            network: what the inferer takes.
            args: passed to the inferer.
            kwargs: passed to the inferer.

        Returns:
            tensor of shape (B, N, 7), columns ``PREDICTION_COLUMNS``; ``x`` and ``y`` in pixels
            of the input, 0-based, pixel centres at integers.
        """
        frames = image_frames(inputs)
        if all(frame.mirror == "no" and self._size(inputs, frame) == inputs.shape[-2:] for frame in frames):
            return self.inferer(inputs, network, *args, **kwargs)
        images = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs

        def find(image: Tensor) -> Tensor:
            return self.inferer(image, network, *args, **kwargs)

        return torch.cat([self._find(image[None], frame, find) for image, frame in zip(images, frames)])

    def _size(self, image: Tensor, frame: ImageFrame) -> tuple[int, int]:
        """(height, width) at which the image's pixels have the shape of the template's."""
        height, width = int(image.shape[-2]), int(image.shape[-1])
        stretch = _pixel_shape(frame.pixel_size) / self.template_shape
        if abs(stretch - 1.0) <= _SAME_SHAPE or not 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
            return height, width
        return (round(height * stretch), width) if stretch > 1 else (height, round(width / stretch))

    def _find(self, image: Tensor, frame: ImageFrame, find: Callable[[Tensor], Tensor]) -> Tensor:
        size = self._size(image, frame)
        seen = resize(image, size, "bilinear")
        found = [find(seen)] if frame.mirror != "yes" else []
        if frame.mirror != "no":
            mirrored = find(seen.flip(-1)).clone()
            mirrored[..., _X] = size[1] - 1 - mirrored[..., _X]
            found.append(mirrored)
        best = max(found, key=lambda candidate: float(candidate[..., _CONFIDENCE].nanmean().nan_to_num()))
        return _unstretched(best, size[1] / image.shape[-1], size[0] / image.shape[-2])


def image_frames(inputs: Tensor) -> list[ImageFrame]:
    """How each image of a batch lies, from its meta data; plain tensors lie as the template does.

    Args:
        inputs: tensor of shape (B, 1, H, W); the meta data may be that of one image or collated over the batch.
    """
    count = len(inputs)
    meta = getattr(inputs, "meta", None) or {}
    mirror = meta.get("mirror", "no")
    mirrors = [mirror] * count if isinstance(mirror, str) else list(mirror)
    pair = meta.get("pixel_size", (1.0, 1.0))
    sizes = np.broadcast_to(np.stack([np.asarray(value, dtype=np.float64).reshape(-1) for value in pair]), (2, count))
    return [ImageFrame(side, (float(x), float(y))) for side, (x, y) in zip(mirrors, sizes.T)]


def _pixel_shape(size: Sequence[float]) -> float:
    """The height of a pixel over its width."""
    return float(size[1]) / float(size[0])


def _unstretched(found: Tensor, stretch_x: float, stretch_y: float) -> Tensor:
    """Points and lengths in pixels of an image that was stretched, in those of the image itself."""
    if stretch_x == stretch_y == 1.0:
        return found
    result = found.clone()
    result[..., _X] = (found[..., _X] + 0.5) / stretch_x - 0.5
    result[..., _Y] = (found[..., _Y] + 0.5) / stretch_y - 0.5
    # Root mean square lengths: half of the square lies along each axis.
    result[..., _LENGTHS] = found[..., _LENGTHS] * math.sqrt((stretch_x**-2 + stretch_y**-2) / 2)
    return result
