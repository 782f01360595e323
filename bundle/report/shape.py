"""All images laid over the template: the mean shape, and where the errors around it point to."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from bundle.records.prediction import LandmarkPrediction
from bundle.records.radiograph import Template
from bundle.report.cases import small_picture
from bundle.report.figures import WIDTH, ReportFigure
from bundle.writers.overlay import abbreviations

#: The figure is dark as the radiograph is, on any page.
_GROUND, _INK, _FOUND, _MEAN = "#0b0e11", "#f2f5f8", "#6fc0ff", "#ff8fc8"
_MAX_VECTORS = 3000
_MAX_LABELS = 45


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """The turn, scale and shift that bring points nearest to others (least squares; Umeyama, PAMI 1991).

    Args:
        source: (N,), points as complex numbers ``x + iy``, in which a turn with scale is a factor; NaN where missing.
        target: (N,), the same.

    Returns:
        ``(factor, shift)`` with ``factor * point + shift``, no mirroring; NaN for fewer than two common places.
    """
    common = np.isfinite(source) & np.isfinite(target)
    design = np.column_stack([source, np.ones_like(source)])[common]
    (factor, shift), _, rank, _ = np.linalg.lstsq(design, target[common])
    return (factor, shift) if rank == 2 else (complex(math.nan), complex(math.nan))


def align(
    cases: Sequence[LandmarkPrediction], truths: np.ndarray | None, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay all images over the template by their true landmarks, or by those found where there is no truth.

    Args:
        cases: M images.
        truths: (M, N, 2), their true points; None where there are none.
        reference: (N, 2), the template's landmarks ``(x, y)`` in its pixels.

    Returns:
        The mean shape, (N, 2), ``(x, y)`` in pixels of the template, NaN for a landmark that no image has; and vectors,
        (M, N, 2), from the truth, or from the mean shape where there is no truth, to the landmark found, turned and
        scaled as the image is; NaN where unknown.
    """
    laid = np.full((len(cases), len(reference)), complex(math.nan, math.nan))
    found = laid.copy()
    for index, case in enumerate(cases):
        # Pixels that are not square are made so first, or a turn would not be one.
        plane = np.array(case.pixel_size) / math.sqrt(math.prod(case.pixel_size)) * (1, 1j)
        anchor = (case.points if truths is None else truths[index]) @ plane
        factor, shift = similarity(anchor, reference @ (1, 1j))
        laid[index], found[index] = factor * anchor + shift, factor * (case.points @ plane) + shift
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN
        mean = np.nanmean(laid, axis=0)
    vectors = found - (mean if truths is None else laid)
    return np.stack([mean.real, mean.imag], axis=-1), np.stack([vectors.real, vectors.imag], axis=-1)


def shape_plot(
    cases: Sequence[LandmarkPrediction], truths: np.ndarray | None, template: Template
) -> ReportFigure | None:
    """Draw the mean shape with the errors of all images around each landmark.

    Args:
        cases: M images.
        truths: (M, N, 2), their true points, to which the vectors lead; None for vectors from the mean shape.
        template: the annotated image.

    Returns:
        The figure; None where there is no shape.
    """
    against_truth = truths is not None
    mean, vectors = align(cases, truths, template.landmarks.points)
    known = np.isfinite(vectors).all(axis=2)
    drawn = np.flatnonzero(known.any(axis=0))
    if not len(drawn):
        return None
    left, top, width, height = _frame(mean[np.isfinite(mean).all(axis=1)])
    unit = WIDTH / width
    figure = Figure(figsize=(WIDTH / 72, height * unit / 72), dpi=72, facecolor=_GROUND)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, left + width), ylim=(top + height, top))
    axes.set_axis_off()
    if template.pixels is not None:
        grey = np.asarray(small_picture(template.pixels, max_side=640))  # half as bright as it is
        extent = (-0.5, template.size[1] - 0.5, template.size[0] - 0.5, -0.5)
        axes.imshow(grey, "gray", vmin=0, vmax=510, extent=extent, interpolation="none", aspect="auto")
    factor = _magnification(float(np.median(np.linalg.norm(vectors[known], axis=1))) * unit)
    image, landmark = np.nonzero(known)
    some = np.linspace(0, len(image) - 1, min(len(image), _MAX_VECTORS)).astype(int)
    places, ends = mean[drawn], mean[landmark[some]]
    _draw_lines(axes, ends, ends + factor * vectors[image, landmark][some], color=_FOUND, linewidth=0.9, alpha=0.55)
    own, counts = np.where(known[..., None], vectors, np.nan)[:, drawn], known[:, drawn].sum(axis=0)
    shifts = np.nanmean(own, axis=0)
    rest = np.nan_to_num(own - shifts)
    spreads = np.sqrt((rest**2).sum(axis=(0, 2)) / counts)
    many = counts > 2
    values, directions = np.linalg.eigh(np.einsum("mki,mkj->kij", rest, rest)[many] / (counts[many, None, None] - 1))
    across, along = 2 * factor * np.sqrt(np.maximum(values, 0)).T
    axes.add_collection(
        EllipseCollection(
            along,
            across,
            np.degrees(np.arctan2(directions[:, 1, 1], directions[:, 0, 1])),
            units="xy",
            offsets=(places + factor * shifts)[many],
            offset_transform=axes.transData,
            facecolor=(_MEAN, 0.22),
            edgecolor=_MEAN,
            linewidth=1.25,
        )
    )
    if against_truth:
        _draw_lines(axes, places, places + factor * shifts, color=_MEAN, linewidth=2.25)
    axes.plot(*places.T, "o", color=_INK, markersize=6.4, markeredgecolor=_GROUND, markeredgewidth=1)
    names = [template.landmarks.names[index] for index in drawn]
    labels = abbreviations(template.landmarks.names)
    for index, place in zip(drawn, places) if len(drawn) <= _MAX_LABELS else ():
        style: dict[str, Any] = {"color": _INK, "size": 10.5, "weight": "bold"}
        axes.annotate(labels[index], place, (6, 5), textcoords="offset points", **style)
    larger = f"drawn {factor:g} times as long as they are" if factor != 1 else "drawn to scale"
    if against_truth:
        title, what, source = "Errors around the mean shape", "Errors", "truth"
        further = f" The largest mean shift is that of {names[int(np.argmax(np.linalg.norm(shifts, axis=1)))]}."
        key = "Thick line: mean error; ellipse: spread (one standard deviation)."
    else:
        title, what, source = "Variation around the mean shape", "Differences from the mean shape", "mean shape"
        further, key = "", "Ellipse: spread."
    return ReportFigure(
        "shape",
        figure,
        title,
        f"{what} of {len(vectors)} images, {larger}.{further}",
        f"All images laid over the template by their {'true ' if against_truth else ''}landmarks: a thin line leads "
        f"from the {source} to a landmark found, {larger}. {key}",
        ("Landmark", "Mean x, px", "Mean y, px", "Spread, px", "Points"),
        [
            (
                name if labels[index] == name else f"{labels[index]}: {name}",
                f"{x:+.1f}",
                f"{y:+.1f}",
                f"{spread:.1f}",
                str(count),
            )
            for index, name, (x, y), spread, count in zip(drawn, names, shifts, spreads, counts)
        ],
    )


def _draw_lines(axes: Axes, starts: np.ndarray, ends: np.ndarray, **style: Any) -> None:
    """Draw lines from (K, 2) to (K, 2) as one mark."""
    gaps = np.full_like(starts, np.nan)
    axes.plot(*np.stack([starts, ends, gaps], axis=1).reshape(-1, 2).T, scalex=False, scaley=False, zorder=1, **style)


def _frame(points: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, width and height of what is shown: the landmarks with a margin, neither a strip nor a tower."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low + 0.28 * max(high - low) + 8
    width, height = np.maximum(extent, (max(extent) / 1.35, max(extent) / 2)).tolist()
    left, top = ((low + high - (width, height)) / 2).tolist()
    return left, top, width, height


def _magnification(median: float) -> float:
    """A round factor that makes the median vector about 12 units long."""
    return next((factor for factor in (20.0, 10.0, 5.0, 4.0, 3.0, 2.0) if factor * median <= 12), 1.0)
