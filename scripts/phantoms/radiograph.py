"""The image of a hand: attenuation along the rays, scatter, noise, collimation, and the processing for display."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from phantoms.hand import Hand, make_hand

ASPECT = 0.8  # width of the image over its height
MAX_STORED = 4095
FIELD_OF_VIEW = (200.0, 230.0)  # mm covered by the image's height
#: Linear attenuation in 1/mm at 50 keV: ICRU-44 soft tissue, adipose tissue and cortical bone (NISTIR 5632).
ATTENUATION = {"soft": 0.0240, "fat": 0.0202, "bone": 0.0814}

_MARGINS = (9.0, 10.0, 9.0, 16.0)  # mm left, above, right and below the outermost landmarks
_FINEST_SPACING = 0.42  # mm; a coarser pixel averages several rays, for cortices are thinner
_TEXTURE_STEP, _TEXTURE_SIZE = 0.22, 512  # mm between samples of the texture of the struts


@dataclass
class Phantom:
    """One simulated radiograph.

    Attributes:
        pixels: (rows, columns) uint16, 0 to 4095.
        spacing: mm between pixel centres.
        landmarks: (37, 2) as (x = column, y = row), 0-based, pixel centres at whole numbers.
        inverted: whether bone is dark.
    """

    pixels: np.ndarray
    spacing: float
    landmarks: np.ndarray
    inverted: bool


def make_phantom(seed: int, index: int, height: int) -> Phantom:
    """Simulate one radiograph.

    Args:
        seed: seed of the sample set.
        index: number of the image in the set; 0 is the template. An image depends on seed, index and height only.
        height: rows of the image; it has 0.8 times as many columns.
    """
    rng = np.random.default_rng([seed, index])
    view = FIELD_OF_VIEW[1] + 1
    while view > FIELD_OF_VIEW[1]:  # a large hand with a spread thumb may not fit a detector: draw another subject
        hand = make_hand(rng)
        view, corner = _framed(hand.landmarks() * [1, -1], rng)
    spacing = round(view / height, 6)
    shape = height, round(ASPECT * height)
    landmarks = (hand.landmarks() * [1, -1] - corner) / spacing - 0.5
    fold = int(np.ceil(spacing / _FINEST_SPACING))
    fine = spacing / fold
    # Of the first ray: (x, y) in mm, y to the finger tips.
    first = (corner + 0.5 * fine) * [1, -1]
    paths = hand_paths(hand, (shape[0] * fold, shape[1] * fold), fine, first, rng)
    signal = np.exp(-sum(ATTENUATION[name] * path for name, path in paths.items()))
    signal = signal.reshape(shape[0], fold, shape[1], fold).mean(axis=(1, 3))
    inverted = bool(rng.uniform() < 0.25) and index > 0
    pixels = _shown(signal, spacing, landmarks, rng, plain=index == 0)
    return Phantom(MAX_STORED - pixels if inverted else pixels, spacing, landmarks, inverted)


def _framed(points: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """Height of the view and (x, y) of the image's upper left corner in mm, y downwards, for points (n, 2)."""
    low, high = points.min(0), points.max(0)
    left, above, right, below = _MARGINS
    wanted = high - low + [left + right, above + below]
    view = max(rng.uniform(FIELD_OF_VIEW[0], FIELD_OF_VIEW[1] - 8), wanted[1], wanted[0] / ASPECT)
    place = 0.5 + 0.5 * np.clip(rng.normal(0, 0.45, 2), -1, 1)
    return view, low - [left, above] - place * (view * np.array([ASPECT, 1.0]) - wanted)


def hand_paths(
    hand: Hand, shape: tuple[int, int], spacing: float, first: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Path in mm through soft tissue, fat and fully mineralised bone of each ray; bones that overlap add up.

    Args:
        hand: the hand.
        shape: rows and columns of rays.
        spacing: mm between them.
        first: (x, y) of the first ray in mm, y to the finger tips.
        rng: generator for what is individual in flesh and texture.
    """
    total, lean = _flesh(hand, shape, spacing, first, rng)
    bone, displaced, fat = (np.zeros(shape) for _ in range(3))
    common, own = _struts(np.random.default_rng(1)), _struts(rng)
    for number, one in enumerate(hand.bones.values()):
        corners = (one.corners() - first) * [1, -1] / spacing
        start = np.clip(np.floor(corners.min(0)).astype(int), 0, shape[::-1])
        stop = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, shape[::-1])
        window = slice(start[1], stop[1]), slice(start[0], stop[0])
        x, y = first[0] + spacing * np.arange(start[0], stop[0]), first[1] - spacing * np.arange(start[1], stop[1])
        there = np.stack(np.meshgrid(x, y), -1) - one.place
        u, v = np.moveaxis(there @ one.turn.T, -1, 0)
        whole = one.thickness(u, v)
        marrow = np.minimum(one.thickness(u, v, below=True), whole)
        # Fixed to the bone, most of the texture is common to all subjects.
        places = np.stack([u, v]) / (hand.size * _TEXTURE_STEP) + 37.0 * number
        texture = sum(
            part * map_coordinates(of, places, order=1, mode="grid-wrap") for part, of in ((0.8, common), (0.5, own))
        )
        share = np.clip(one.share(u, v) * (1 + 0.28 * texture), 0, 0.9)
        bone[window] += (whole - marrow) * (1 + 0.04 * texture) + share * marrow
        fat[window] += 0.5 * (1 - share) * marrow  # between the struts, half is fat
        displaced[window] += whole
    return {"soft": np.maximum(lean - displaced + fat, 0), "fat": total - lean + fat, "bone": bone}


def _flesh(
    hand: Hand, shape: tuple[int, int], spacing: float, first: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Thickness in mm of the whole hand, and of what lies under the fat of its skin; found coarsely and enlarged."""
    step = max(1, round(1.2 / spacing))
    rows, columns = (-(-n // step) + 1 for n in shape)
    place = np.stack(
        np.meshgrid(first[0] + spacing * step * np.arange(columns), first[1] - spacing * step * np.arange(rows)), -1
    )
    insides, radii = [], []
    for chain in hand.skin:
        for start, end in itertools.pairwise(chain):
            along = end[:2] - start[:2]
            t = np.clip((place - start[:2]) @ along / max(along @ along, 1e-6), 0, 1)
            radii.append(start[2] + (end[2] - start[2]) * t)
            insides.append(radii[-1] - np.linalg.norm(place - start[:2] - t[..., None] * along, axis=-1))
    inside, radius = np.array(insides), np.array(radii)
    weights = np.exp(np.clip(inside / (4.0 * hand.size), -30, 8))
    radius = (weights * radius).sum(0) / weights.sum(0)
    soft = 1.1 * hand.size  # mm over which neighbours flow together
    inside = soft * np.log(np.exp(np.clip(inside / soft, -60, 60)).sum(0))
    inside, radius = (_enlarged(values, step, shape) for values in (inside, radius))
    fat = hand.size * rng.uniform(1.5, 2.8)
    total = _arc(inside, radius)
    return total, np.minimum(_arc(inside - fat, np.maximum(radius - fat, 1)), total)


def _enlarged(values: np.ndarray, step: int, shape: tuple[int, int]) -> np.ndarray:
    y, x = (np.arange(n) / step for n in shape)
    rows = np.array([np.interp(x, np.arange(values.shape[1]), row) for row in values])
    low = np.minimum(y.astype(int), len(rows) - 2)
    return rows[low] + (y - low)[:, None] * (rows[low + 1] - rows[low])


def _arc(inside: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Thickness of a body whose border is a circular arc, at a distance inside its outline."""
    depth = np.clip(inside, 0, radius)
    return 1.85 * np.sqrt(depth * (2 * radius - depth))


def _struts(rng: np.random.Generator) -> np.ndarray:
    """Periodic texture of fine struts, stretched along the rows, mean 0 and standard deviation 1."""
    noise = np.fft.rfft2(rng.standard_normal((_TEXTURE_SIZE, _TEXTURE_SIZE)))
    f = np.hypot(
        2.0 * np.fft.fftfreq(_TEXTURE_SIZE, _TEXTURE_STEP)[:, None], np.fft.rfftfreq(_TEXTURE_SIZE, _TEXTURE_STEP)
    )
    fine, broad = (np.fft.irfft2(noise * np.exp(-(((f - at) / width) ** 2))) for at, width in ((0.75, 0.45), (0, 0.22)))
    mesh = np.exp(-np.abs(fine) / (0.5 * fine.std()))  # the zero lines of noise make a mesh of bright struts
    texture = (mesh - mesh.mean()) / mesh.std() + 0.6 * broad / broad.std()
    return texture / texture.std()


def _shown(
    primary: np.ndarray, spacing: float, landmarks: np.ndarray, rng: np.random.Generator, plain: bool
) -> np.ndarray:
    """The image as it is displayed, 0 to 4095, bone bright; ``plain`` leaves out collimation and marker."""
    size = np.array(primary.shape[::-1])
    # Drawn before the noise, so that all but that is the same at every resolution.
    closed, share, letter, corner, turn = (
        rng.uniform(size=(2, 2)) < 0.3,
        rng.uniform(0.1, 0.9, (2, 2)),
        *rng.uniform(size=3),
    )
    scatter, blur, quanta = rng.uniform(0.05, 0.22), rng.uniform(0.09, 0.17), np.exp(rng.uniform(11.3, 12.9))
    air, slope, shutter = rng.uniform(0.02, 0.3), rng.uniform(0.35, 1.5), rng.uniform() < 0.5
    x, y = np.arange(size[0])[None, :], np.arange(size[1])[:, None]

    # The collimated field keeps clear of all landmarks, and so does the lead letter.
    room = np.array([landmarks.min(0), size - 1 - landmarks.max(0)]) - 9.0 / spacing
    cut = np.where(closed & (not plain), share * room, -20.0)
    edges = (x - cut[0, 0], size[0] - 1 - cut[1, 0] - x, y - cut[0, 1], size[1] - 1 - cut[1, 1] - y)
    field = np.clip(0.5 + spacing / 0.8 * np.minimum(np.minimum(*edges[:2]), np.minimum(*edges[2:])), 0, 1)
    beam = 0.012 + 0.988 * field
    signal = primary * beam
    places = np.array([[0.09, 0.07], [0.9, 0.08], [0.09, 0.9], [0.9, 0.9]]) * size
    clear = [place for place in places if np.linalg.norm(landmarks - place, axis=1).min() * spacing > 30]
    if letter < 0.5 and clear and not plain:
        signal *= 1 - 0.93 * _letter(x, y, spacing, clear[int(corner * len(clear))], 30 * (turn - 0.5))

    wide = max(1, round(4.5 / spacing))  # scatter spreads over centimetres
    lost = np.pad((1 - primary) * beam, ((0, wide), (0, wide)), "edge")[::wide, ::wide]
    signal += scatter * _enlarged(gaussian_filter(lost, 18.0 / spacing / wide, mode="nearest"), wide, primary.shape)
    signal = gaussian_filter(signal, blur / spacing)
    noise = 1.3 * gaussian_filter(rng.standard_normal(primary.shape), 0.45)
    signal += noise * np.sqrt(np.maximum(signal, 0) / quanta) / spacing
    density = -np.log(np.maximum(signal, 1e-3))
    density += np.clip(0.2 * (density - gaussian_filter(density, 0.9 / spacing)), -0.06, 0.06)
    low, high = np.percentile(density[field > 0.99], [4.0, 99.3])
    level = np.maximum((density - low) / max(high - low, 1e-3), -0.3)
    shown = air + (0.97 - air) * (1 - np.exp(-slope * level)) / (1 - np.exp(-slope))
    shown = np.where(shown > 0.93, 0.93 + 0.07 * np.tanh((shown - 0.93) / 0.07), shown)
    shown[shutter & (field < 0.99)] = 0.0  # some displays blank what lies outside the field
    return np.clip(np.rint(shown * MAX_STORED), 0, MAX_STORED).astype(np.uint16)


def _letter(x: np.ndarray, y: np.ndarray, spacing: float, place: np.ndarray, turn: float) -> np.ndarray:
    """Cover, 0 to 1, of a lead letter L of 11 mm at (x, y) pixels, turned by degrees."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    right, down = (x - place[0]) * spacing, (y - place[1]) * spacing
    a, b = c * right + s * down, c * down - s * right
    stem = np.maximum(np.abs(a + 2.6) - 0.9, np.abs(b) - 5.5)
    foot = np.maximum(np.abs(a - 0.3) - 3.8, np.abs(b - 4.6) - 0.9)
    return np.clip(0.5 - np.minimum(stem, foot) / spacing, 0, 1)
