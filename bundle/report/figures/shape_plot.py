"""Where the errors point to, around the mean shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bundle.report.drawing import Disc, Drawing, Label, Line, Picture, Segments
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.shape import AlignedShapes

_MAX_VECTORS = 3000
_MAX_LABELS = 45


def shape_plot(
    shapes: AlignedShapes,
    names: Sequence[str],
    size: tuple[int, int],
    backdrop: bytes | None,
    against_truth: bool,
) -> Figure | None:
    """Draw the mean shape with the errors of all images around each landmark.

    Args:
        shapes: all images in the frame of the template.
        names: N landmark names.
        size: ``(width, height)`` of the template in pixels.
        backdrop: the template as a JPEG file that fills the same frame; None for none.
        against_truth: whether the vectors are errors; if not, they are differences from the mean shape.

    Returns:
        The figure; None where there is no shape.
    """
    known = np.isfinite(shapes.vectors).all(axis=2)
    present = np.isfinite(shapes.mean).all(axis=1)
    if not present.any() or not known.any():
        return None
    left, top, width, height = _frame(shapes.mean[present], size)
    unit = WIDTH / width
    drawing = Drawing(WIDTH, height * unit, "", "")
    if backdrop is not None:
        drawing.add(Picture(-left * unit, -top * unit, size[0] * unit, size[1] * unit, backdrop, "backdrop"))
    places = (shapes.mean - (left, top)) * unit
    lengths = np.linalg.norm(shapes.vectors, axis=2)
    factor = _magnification(float(np.median(lengths[known])) * unit)
    steps = shapes.vectors * unit * factor
    image, landmark = np.nonzero(known)
    if len(image) > _MAX_VECTORS:
        chosen = np.linspace(0, len(image) - 1, _MAX_VECTORS).astype(int)
        image, landmark = image[chosen], landmark[chosen]
    starts = places[landmark]
    drawing.add(Segments(np.stack([starts, starts + steps[image, landmark]], axis=1), "vector"))
    rows = []
    labels = len(names) <= _MAX_LABELS
    for index in map(int, np.flatnonzero(present & known.any(axis=0))):
        own, raw = steps[known[:, index], index], shapes.vectors[known[:, index], index]
        bias = own.mean(axis=0)
        x, y = places[index]
        if len(own) > 2:
            drawing.add(Line(_ellipse(own) + places[index] + bias, "ellipse", closed=True))
        if against_truth:
            drawing.add(Line(np.array([(x, y), (x + bias[0], y + bias[1])]), "bias"))
        mean = raw.mean(axis=0)
        tip = f"{names[index]}: on average {_direction(mean, size)}" if against_truth else str(names[index])
        drawing.add(Disc(float(x), float(y), 3.2, "shape_point", tip))
        spread = float(np.sqrt((np.linalg.norm(raw - mean, axis=1) ** 2).mean()))
        rows.append((str(names[index]), f"{mean[0]:+.1f}", f"{mean[1]:+.1f}", f"{spread:.1f}", str(len(raw))))
    if labels:
        for index in map(int, np.flatnonzero(present)):
            drawing.add(Label(float(places[index][0]) + 6, float(places[index][1]) - 8, str(index + 1), "shape_label"))
    larger = f"drawn {factor:g} times as long as they are" if factor != 1 else "drawn to scale"
    what = "Errors" if against_truth else "Differences from the mean shape"
    drawing.title = "Errors around the mean shape" if against_truth else "Variation around the mean shape"
    farthest = max(rows, key=lambda row: math.hypot(float(row[1]), float(row[2])))
    drawing.description = f"{what} of {len(shapes.vectors)} images, {larger}." + (
        f" The largest mean shift is that of {farthest[0]}." if against_truth else ""
    )
    caption = (
        f"All images laid over the template by their {'true ' if against_truth else ''}landmarks: a thin line leads "
        f"from the {'truth' if against_truth else 'mean shape'} to a landmark found, {larger}. "
    )
    caption += (
        "Thick line: mean error; ellipse: spread (one standard deviation)." if against_truth else "Ellipse: spread."
    )
    return Figure(
        "shape",
        drawing,
        caption,
        ("Landmark", "Mean x, px", "Mean y, px", "Spread, px", "Points"),
        rows,
    )


def _frame(points: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, width and height of what is shown: the landmarks with a margin, not much beyond the template."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.14 * float(max(high - low)) + 4
    low, high = low - margin, high + margin
    width, height = high - low
    # A strip would be too low to be seen, a tower higher than the screen.
    if height < 0.5 * width:
        low[1], high[1] = (low[1] + high[1]) / 2 - width / 4, (low[1] + high[1]) / 2 + width / 4
    if height > 1.35 * width:
        low[0], high[0] = (low[0] + high[0]) / 2 - height / 2.7, (low[0] + high[0]) / 2 + height / 2.7
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _magnification(median: float) -> float:
    """A round factor that makes the median vector about 12 units long."""
    wanted = 12 / max(median, 1e-6)
    return next((factor for factor in (20.0, 10.0, 5.0, 4.0, 3.0, 2.0) if factor <= wanted), 1.0)


def _ellipse(steps: np.ndarray) -> np.ndarray:
    """(48, 2) points of the ellipse of one standard deviation around 0."""
    values, vectors = np.linalg.eigh(np.cov(steps.T))
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return (vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)).T


def _direction(vector: np.ndarray, size: tuple[int, int]) -> str:
    """A shift in words."""
    if math.hypot(*vector) < 0.0005 * max(size):
        return "where it should be"
    parts = []
    if abs(vector[0]) >= 0.05:
        parts.append(f"{abs(vector[0]):.1f} px to the {'right' if vector[0] > 0 else 'left'}")
    if abs(vector[1]) >= 0.05:
        parts.append(f"{abs(vector[1]):.1f} px {'down' if vector[1] > 0 else 'up'}")
    return ", ".join(parts) or "where it should be"
