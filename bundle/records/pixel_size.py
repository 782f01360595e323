"""How large a pixel is, in millimetres or in proportion alone."""

from __future__ import annotations


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
