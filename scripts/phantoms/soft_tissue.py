"""Soft tissue of the hand: skin outline, thickness that falls to zero at it, fat under the skin and muscle inside.

The outline is a smooth union of tapered capsules along the digits and of the palm, wrist and forearm, as a signed
distance in the detector's plane. Across the outline the thickness follows a circular arc, as across a finger.
"""

from __future__ import annotations

import itertools

import numpy as np

from .anatomy import DIGITS, Hand
from .solids import Rays

COARSE = 1.2  # mm; distances vary slowly, so they are worked out on a coarse grid and interpolated

# Half widths of the digits in mm, before scaling, at MCP, PIP, DIP joint and at the tip's centre.
_DIGIT_RADII = {
    "thumb": (13.5, 11.2, 10.4, 8.4),
    "index": (11.4, 10.0, 8.6, 7.2),
    "middle": (11.4, 10.2, 8.9, 7.5),
    "ring": (10.8, 9.6, 8.4, 7.2),
    "little": (10.2, 8.6, 7.5, 6.4),
}


def _capsule(x: np.ndarray, y: np.ndarray, chain: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Distance inside (positive, mm) and local radius of a chain of tapered capsules, given as (x, y, radius) in mm."""
    best, radius = None, None
    for (x0, y0, r0), (x1, y1, r1) in itertools.pairwise(chain):
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        r = r0 + (r1 - r0) * t * t * (3 - 2 * t)
        d = r - np.hypot(x - x0 - t * dx, y - y0 - t * dy)
        if best is None:
            best, radius = d, r
        else:
            radius = np.where(d > best, r, radius)
            best = np.maximum(best, d)
    return best, radius


def _join(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Smooth union of two inside distances: notches narrower than about ``radius`` mm are webbed over."""
    overlap = np.maximum(radius - np.abs(first - second), 0.0)
    return np.maximum(first, second) + overlap * overlap * (0.25 / radius)


def _arc(inside: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Thickness in mm of a body whose border is a circular arc of ``radius``, at a distance inside its outline."""
    depth = np.clip(inside, 0.0, radius)
    return 2.0 * np.sqrt(depth * (2.0 * radius - depth))


def thickness(hand: Hand, rays: Rays, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Thickness of the hand's envelope and of the lean tissue (muscle, bone and all) within it.

    Args:
        hand: posed hand.
        rays: rays of the detector; the thickness is taken along the central ray, as rays here are tilted by under 8
            degrees and lengthened by under 1 %.
        rng: generator for the subject's fat and muscle.

    Returns:
        Two arrays (rows, columns) in mm, the second nowhere larger than the first.
    """
    scale = hand.scale
    wide = scale * hand.build
    rows, columns = rays.shape
    shrink = max(1, round(COARSE / rays.spacing))
    ny, nx = -(-rows // shrink) + 1, -(-columns // shrink) + 1
    x = (rays.corner[0] + rays.spacing * shrink * np.arange(nx))[None, :]
    y = (rays.corner[1] - rays.spacing * shrink * np.arange(ny))[:, None]

    flat = {}
    for name, point in hand.joints.items():
        stretch = rays.source[2] / (rays.source[2] - point[2])
        flat[name] = rays.source[:2] + (point[:2] - rays.source[:2]) * stretch

    def circle(name: str, radius: float, shift: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float, float]:
        return flat[name][0] + shift[0] * scale, flat[name][1] + shift[1] * scale, radius * wide

    # Palm and forearm: rays of the metacarpals and both sides of the wrist.
    spokes = []
    for digit, r in (("index", 13.0), ("middle", 12.2), ("ring", 12.0), ("little", 11.4)):
        # The webs lie well beyond the knuckles, so the palm reaches a third of the way to the next joint.
        start = circle("radius_distal" if digit in ("index", "middle") else "ulna_distal", 12.5)
        beyond = flat[f"{digit}_mcp"] + 0.3 * (flat[f"{digit}_pip"] - flat[f"{digit}_mcp"])
        web = (*beyond, (r - 1.6) * wide)
        spokes.append(_capsule(x, y, [start, circle(f"{digit}_cmc", 13.0), circle(f"{digit}_mcp", r), web]))
    hypothenar = _capsule(
        x, y, [circle("ulna_distal", 11.5), circle("little_cmc", 13.0, (-3.0, 4.0)), circle("little_mcp", 11.4)]
    )
    forearm = [
        _capsule(x, y, [circle(f"{bone}_proximal", 15.5, (out, 0.0)), circle(f"{bone}_distal", 12.0, (out, 0.0))])
        for bone, out in (("radius", 3.5), ("ulna", -0.5))
    ]
    ends = [0.5 * (flat[f"radius_{end}"] + flat[f"ulna_{end}"]) for end in ("proximal", "distal")]
    forearm.append(_capsule(x, y, [(*end, 15.0 * wide) for end in ends]))
    wrist = _capsule(x, y, [circle("radius_distal", 13.5, (3.0, 0.0)), circle("thumb_cmc", 13.0, (-4.0, -4.0))])
    palm = spokes[0][0]
    for distance, _ in [*spokes[1:], hypothenar, *forearm, wrist]:
        palm = _join(palm, distance, 9.0 * scale)
    tip = {d: flat[f"{d}_tip"] for d in DIGITS}
    digits, radii = {}, {}
    for digit in DIGITS:
        names = [f"{digit}_{j}" for j in ("mcp", "pip", "dip") if f"{digit}_{j}" in flat]
        r = _DIGIT_RADII[digit]
        r = r if len(names) == 3 else (r[0], r[1], r[3])
        chain = [circle(n, size) for n, size in zip(names, r, strict=False)]
        last = flat[names[-1]]
        outward = (tip[digit] - last) / np.linalg.norm(tip[digit] - last)
        centre = tip[digit] - outward * (r[-1] * wide - 4.2 * scale)
        chain.append((centre[0], centre[1], r[-1] * wide))
        if digit == "thumb":
            chain.insert(0, circle("thumb_cmc", 13.5))
        digits[digit], radii[digit] = _capsule(x, y, chain)
    thumb = digits.pop("thumb")
    palm = _join(palm, thumb, 26.0 * scale)
    envelope = None
    for distance in digits.values():
        webbed = _join(palm, distance, 7.0 * scale)
        envelope = webbed if envelope is None else _join(envelope, webbed, 1.5 * scale)

    # Half thickness: that of the parts, blended by how deep a point lies in each of them.
    thenar = _capsule(
        x, y, [circle("thumb_cmc", 13.0, (-4.0, 2.0)), (*(0.5 * (flat["thumb_mcp"] + flat["thumb_cmc"])), 13.0 * wide)]
    )[0]
    parts = [(distance, 0.9 * radii[digit]) for digit, distance in digits.items()]
    parts += [(thumb, 0.88 * radii["thumb"]), (palm - 3.0 * scale, 12.6 * wide), (thenar, 16.5 * wide)]
    parts += [(hypothenar[0] - 2.0 * scale, 14.5 * wide)]
    parts += [(np.maximum.reduce([distance for distance, _ in forearm]) + 1.0 * scale, 18.0 * wide)]
    weights = [np.exp(np.clip(distance / (5.0 * scale), -30, 6)) for distance, _ in parts]
    radius = sum(w * r for w, (_, r) in zip(weights, parts, strict=True)) / sum(weights)

    # Muscle: everything deeper than the fat under the skin, fuller over the thenar and between the metacarpals.
    fat = wide * rng.uniform(1.5, 2.8)
    bellies = np.clip(thenar / (10.0 * scale), 0, 1) * rng.uniform(0.3, 1.0)
    lean_inside = envelope - fat * (1.0 - 0.35 * bellies)
    lean_radius = np.maximum(radius - fat, 1.0)

    fields = []
    for values in (envelope, radius, lean_inside, lean_radius):
        fields.append(_enlarge(values, shrink)[:rows, :columns])
    total = _arc(fields[0], fields[1])
    lean = np.minimum(_arc(fields[2], fields[3]), total)
    return total, lean


def _enlarge(values: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear enlargement by a whole factor; sample (i, j) of the input comes to lie at (i, j) * factor."""
    rest = (np.arange(factor, dtype=np.float32) / factor)[None, :]
    values = values.astype(np.float32)
    rows = (values[:-1, None] * (1 - rest[..., None]) + values[1:, None] * rest[..., None]).reshape(-1, values.shape[1])
    return (rows[:, :-1, None] * (1 - rest) + rows[:, 1:, None] * rest).reshape(rows.shape[0], -1)
