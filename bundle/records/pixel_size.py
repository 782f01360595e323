"""How large a pixel is, in millimetres or in proportion alone."""

from __future__ import annotations

import math


class WithPixelSize:
    """A record of an image.

    Attributes:
        spacing: millimetres per pixel as ``(x, y)`` = (between columns, between rows), or None where unknown.
        aspect: height of a pixel over its width where the spacing is unknown, such as DICOM's ``PixelAspectRatio``.
    """

    spacing: tuple[float, float] | None
    aspect: float

    @property
    def pixel_size(self) -> tuple[float, float]:
        """The spacing, or where it is unknown, the proportion of a pixel's sides alone, ``(x, y)``."""
        return self.spacing or (1.0, self.aspect)

    @property
    def mm_per_pixel(self) -> float:
        """Millimetres per pixel of a length in no direction, half of whose square lies along each axis; else NaN."""
        return math.nan if self.spacing is None else math.hypot(*self.spacing) / math.sqrt(2)
