"""One phantom image: a subject, the framing on the detector, the exposure, and the landmarks in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Hand, make_hand
from .radiography import Exposure, detect, hand_paths, present
from .solids import Rays

ASPECT = 0.8  # image width over height
SOURCE_DISTANCE = 1000.0  # mm from the focal spot to the detector
FIELD_OF_VIEW = (200.0, 230.0)  # mm covered by the image's height
_MARGINS = (9.0, 10.0, 9.0, 16.0)  # mm left, above, right and below the outermost landmarks
_FINEST_SPACING = 0.42  # mm; coarser pixels average several rays, as cortical shells are thinner than such a pixel


@dataclass
class Phantom:
    """One simulated radiograph.

    Attributes:
        pixels: (rows, columns) uint16 stored values in 0..4095.
        spacing: mm between pixel centres on the detector.
        landmarks: (37, 2) as (x = column, y = row), 0-based, pixel centres at whole numbers.
        exposure: how the image was taken.
    """

    pixels: np.ndarray
    spacing: float
    landmarks: np.ndarray
    exposure: Exposure


def _frame_hand(hand: Hand, rng: np.random.Generator) -> tuple[float, tuple[float, float], np.ndarray]:
    """Field of view (mm), position (x, y) in mm of the image's upper left corner, and the source's position."""
    source = np.array([rng.uniform(-15, 15), 70.0 + rng.uniform(-20, 20), SOURCE_DISTANCE])
    flat = Rays((1, 1), 1.0, (0.0, 0.0), source).project(hand.landmarks)  # mm on the detector, y downwards
    low, high = flat.min(axis=0), flat.max(axis=0)
    left, above, right, below = _MARGINS
    needed = max(high[1] - low[1] + above + below, (high[0] - low[0] + left + right) / ASPECT)
    view = max(rng.uniform(FIELD_OF_VIEW[0], FIELD_OF_VIEW[1] - 8.0), needed)
    # Place the hand anywhere between the margins, but rather in the middle.
    place = 0.5 + 0.5 * np.clip(rng.normal(0.0, 0.45, 2), -1.0, 1.0)
    slack = np.array([ASPECT * view - (high[0] - low[0]) - left - right, view - (high[1] - low[1]) - above - below])
    corner = low - np.array([left, above]) - place * slack
    return view, (corner[0], -corner[1]), source


def _draw_exposure(
    rng: np.random.Generator, shape: tuple[int, int], spacing: float, landmarks: np.ndarray, plain: bool
) -> Exposure:
    """Technique, collimation and display of one image; ``plain`` leaves out collimation and inverted storage."""
    rows, columns = shape
    field = [-9.0 / spacing, -9.0 / spacing, columns + 9.0 / spacing, rows + 9.0 / spacing]
    collimated = rng.uniform() < 0.4
    room = np.array([*landmarks.min(axis=0), *(np.array([columns, rows]) - 1 - landmarks.max(axis=0))])
    cut = rng.uniform(0.1, 0.9, 4) * (room - np.array([8.5, 8.5, 8.5, 11.0]) / spacing)
    cut = np.where((rng.uniform(size=4) < 0.7) & (cut > 1.5 / spacing), cut, -9.0 / spacing)
    if collimated and not plain:
        field = [cut[0], cut[1], columns - 1 - cut[2], rows - 1 - cut[3]]
    # The marker lies beside the little finger or beside the wrist, clear of all landmarks.
    marker = None
    corners = np.array([[0.09, 0.07], [0.9, 0.08], [0.09, 0.9], [0.9, 0.9]]) * [columns, rows]
    clear = [c for c in corners if np.hypot(*(landmarks - c).T).min() * spacing > 30.0]
    wanted, choice, turn = rng.uniform() < 0.5, rng.uniform(), rng.normal(0.0, 8.0)
    if wanted and clear:
        x, y = clear[int(choice * len(clear))]
        reach = 8.0 / spacing
        if field[0] + reach < x < field[2] - reach and field[1] + reach < y < field[3] - reach:
            marker = (float(x), float(y), float(turn))
    return Exposure(
        energy_kev=rng.uniform(42.0, 56.0),
        quanta_per_mm2=np.exp(rng.uniform(np.log(8e4), np.log(4e5))),
        scatter=rng.uniform(0.05, 0.22),
        blur_mm=rng.uniform(0.09, 0.17),
        electronic=rng.uniform(0.001, 0.004),
        heel=(rng.normal(0.0, 0.05), rng.normal(0.0, 0.05)),
        field=tuple(float(n) for n in field),
        marker=marker,
        shutter=bool(rng.uniform() < 0.5),
        window=(rng.uniform(0.02, 0.3), rng.uniform(0.35, 1.5)),
        inverted=bool(rng.uniform() < 0.25) and not plain,
    )


def make_phantom(seed: int, index: int, height: int) -> Phantom:
    """Simulate one radiograph.

    Args:
        seed: seed of the sample set.
        index: number of the image in the set; 0 is the template. An image depends on seed, index and height only.
        height: rows of the image; it has 0.8 times as many columns.

    Returns:
        The image with its landmarks.
    """
    rng = np.random.default_rng([seed, index])
    for _ in range(20):  # a large hand with a spread thumb may not fit a detector: draw another subject
        hand = make_hand(rng)
        view, corner, source = _frame_hand(hand, rng)
        if view <= FIELD_OF_VIEW[1]:
            break
    rows, columns = height, round(ASPECT * height)
    spacing = round(view / height, 6)

    fold = int(np.ceil(spacing / _FINEST_SPACING))
    fine = spacing / fold
    centre = (corner[0] + 0.5 * fine, corner[1] - 0.5 * fine)  # of the first ray
    rays = Rays((rows * fold, columns * fold), fine, centre, source)
    # Centre of a pixel that averages fold x fold rays.
    landmarks = (rays.project(hand.landmarks) - 0.5 * (fold - 1)) / fold
    exposure = _draw_exposure(rng, (rows, columns), spacing, landmarks, plain=index == 0)
    paths = hand_paths(hand, rays, rng)
    signal = detect(paths, spacing, fold, exposure, rng)
    return Phantom(present(signal, spacing, exposure), spacing, landmarks, exposure)
