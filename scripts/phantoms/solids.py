"""Solid bones and the length of an X-ray's path through them.

A bone is a smooth implicit solid in its own frame: ``u`` runs along the bone from proximal to distal, ``v`` points to
the radial side and ``w`` to the back of the hand, all in mm. ``depth_below_surface`` is (nearly) the distance to the
surface, so one function gives both the outer surface (value 0) and the inner face of the cortex (value = cortical
thickness), and a ray is cut into cortex and marrow by following that one function.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator

RAY_SAMPLES = 13  # per ray and bone; crossings are interpolated, 13 keep the error of a path near 1 % of a bone's depth
_TABLE = 256
_A_LIMIT = 1.25  # end surfaces are tabulated for lateral positions of up to 1.25 half widths


def smooth_min(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Minimum of two arrays of one shape with the corner between them rounded over ``radius`` (same unit)."""
    overlap = np.maximum(radius - np.abs(first - second), 0.0)
    return np.minimum(first, second) - overlap * overlap * (0.25 / radius)


def length_above(values: np.ndarray, level: np.ndarray | float, step: np.ndarray | float) -> np.ndarray:
    """Length over which a function sampled along rays lies above a level.

    Args:
        values: (samples, rays) function values at equal steps along each ray.
        level: number or array that broadcasts to ``values``.
        step: distance between two samples in mm, a number or (rays,).

    Returns:
        (rays,) lengths in mm; the function is taken as linear between samples.
    """
    above = values - level
    high = np.maximum(above[:-1], above[1:])
    span = np.abs(above[:-1] - above[1:])
    fraction = np.clip(high / np.maximum(span, 1e-6), 0.0, 1.0)
    return fraction.sum(axis=0) * step


def curve(points: list[tuple[float, float]], low: float, high: float) -> np.ndarray:
    """Shape-preserving curve through (position, value) points, tabulated at 256 positions from low to high."""
    x, y = np.array(points, dtype=float).T
    grid = np.clip(np.linspace(low, high, _TABLE), x[0], x[-1])
    return PchipInterpolator(x, y)(grid).astype(np.float32)


def end_surface(points: list[tuple[float, float]]) -> np.ndarray:
    """Table of how far (mm) an end of a bone is cut back, over the lateral position a = v / half width in -1..1."""
    return curve(points, -_A_LIMIT, _A_LIMIT)


def _look_up(table: np.ndarray, position: np.ndarray, low: float, high: float) -> np.ndarray:
    """Linear look-up, which is much faster than np.interp because the table is evenly spaced."""
    scaled = np.clip((position - low) * ((_TABLE - 1) / (high - low)), 0.0, _TABLE - 1.001)
    index = scaled.astype(np.int32)
    rest = scaled - index
    below = table[index]
    return below + rest * (table[index + 1] - below)


@dataclass
class LongShape:
    """A shaft with flared ends: elliptic cross-sections along u = 0..length, closed by two shaped end surfaces.

    Attributes:
        length: mm along u.
        ulnar, radial: (256,) half widths in mm on the v < 0 and on the v > 0 side, over u / length.
        depth: (256,) half depths along w in mm.
        cortex: (256,) cortical thickness in mm.
        spongiosa: (256,) volume fraction of mineralised bone in the marrow space.
        base, head: (256,) end surfaces, see end_surface.
        base_dome, head_dome: mm by which an end falls away (a cup: negative) at the dorsal and palmar margin.
        rounding: mm over which edges between side and ends are rounded.
    """

    length: float
    ulnar: np.ndarray
    radial: np.ndarray
    depth: np.ndarray
    cortex: np.ndarray
    spongiosa: np.ndarray
    base: np.ndarray
    head: np.ndarray
    base_dome: float = 0.0
    head_dome: float = 0.0
    rounding: float = 1.5
    elongated_texture: bool = field(default=True, init=False)

    def bounds(self) -> tuple[float, float, float, float, float]:
        """(u low, u high, largest |v|, largest |w|, margin of the search for rays that meet the bone) in mm."""
        widest = float(max(self.ulnar.max(), self.radial.max()))
        return 0.0, self.length, widest, float(self.depth.max()), 1.0

    def depth_below_surface(self, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance below the surface (mm, positive inside) and cortical thickness (mm) at local points of one shape."""
        t = u * (1.0 / self.length)
        half_width = np.where(v > 0, _look_up(self.radial, t, 0, 1), _look_up(self.ulnar, t, 0, 1))
        half_depth = _look_up(self.depth, t, 0, 1)
        a, b = v / half_width, w / half_depth
        b2 = b * b
        # First-order distance to the ellipse, (1 - g) / |grad g|; the constant keeps it finite on the axis.
        slope = np.sqrt((a / half_width) ** 2 + b2 / half_depth**2 + 0.25 / (half_width * half_depth))
        side = 0.5 * (1.0 - a * a - b2) / slope
        proximal = u - _look_up(self.base, a, -_A_LIMIT, _A_LIMIT) - self.base_dome * b2
        distal = self.length - u - _look_up(self.head, a, -_A_LIMIT, _A_LIMIT) - self.head_dome * b2
        inside = smooth_min(smooth_min(side, proximal, self.rounding), distal, self.rounding)
        return inside, _look_up(self.cortex, t, 0, 1)

    def spongiosa_at(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Volume fraction of mineralised bone in the marrow space at local positions (mm)."""
        return _look_up(self.spongiosa, u / self.length, 0, 1)

    def on_axis(self, t: float, a: float = 0.0) -> np.ndarray:
        """Local (u, v, w) in mm of the point at the fraction t of the length and a half widths to the radial side."""
        table = self.radial if a > 0 else self.ulnar
        return np.array([t * self.length, a * float(_look_up(table, np.float64(t), 0, 1)), 0.0])

    def on_base(self, a: float = 0.0) -> np.ndarray:
        """Local (u, v, w) in mm of the point of the proximal surface at a half widths to the radial side."""
        u = float(_look_up(self.base, np.float64(a), -_A_LIMIT, _A_LIMIT))
        return np.array([u, self.on_axis(u / self.length, a)[1], 0.0])

    def on_head(self, a: float = 0.0) -> np.ndarray:
        """Local (u, v, w) in mm of the point of the distal surface at a half widths to the radial side."""
        u = self.length - float(_look_up(self.head, np.float64(a), -_A_LIMIT, _A_LIMIT))
        return np.array([u, self.on_axis(u / self.length, a)[1], 0.0])


@dataclass
class NodularShape:
    """A short bone: an outline r(angle) in the u, v plane, swollen to a rounded solid of half depth ``depth``.

    Attributes:
        outline: (256,) distance in mm from the centre to the outline over the angle atan2(v, u) in -pi..pi.
        depth: half depth along w in mm.
        cortex: cortical thickness in mm.
        spongiosa: volume fraction of mineralised bone inside.
    """

    outline: np.ndarray
    depth: float
    cortex: float
    spongiosa: float
    elongated_texture: bool = field(default=False, init=False)

    def bounds(self) -> tuple[float, float, float, float, float]:
        """(u low, u high, largest |v|, largest |w|, margin of the search for rays that meet the bone) in mm."""
        reach = float(self.outline.max())
        return -reach, reach, reach, self.depth, 0.5

    def depth_below_surface(self, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance below the surface (mm, positive inside) and cortical thickness (mm) at local points of one shape."""
        reach = _look_up(self.outline, np.arctan2(v, u), -np.pi, np.pi)
        rho2 = (u * u + v * v) / (reach * reach)
        b = w * (1.0 / self.depth)
        # rho^3 + b^2 = 1: a pillow with fuller sides than an ellipsoid, as facets for the neighbours are broad.
        slope2 = 9.0 * rho2 * rho2 / (reach * reach) + 4.0 * b * b / self.depth**2 + 1.0 / self.depth**2
        inside = (1.0 - rho2 * np.sqrt(rho2) - b * b) / np.sqrt(slope2)
        return inside, np.float32(self.cortex)

    def spongiosa_at(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Volume fraction of mineralised bone in the marrow space at local positions (mm)."""
        return np.full(u.shape, self.spongiosa, dtype=np.float32)

    def on_outline(self, angle: float) -> np.ndarray:
        """Local (u, v, w) in mm of the point of the outline seen from the centre at an angle (rad)."""
        reach = float(_look_up(self.outline, np.float64(angle), -np.pi, np.pi))
        return np.array([reach * np.cos(angle), reach * np.sin(angle), 0.0])


@dataclass
class Bone:
    """A shape placed in space.

    Attributes:
        name: anatomical name.
        shape: the solid in its own frame.
        origin: (3,) position of the frame's origin, world (x, y, z) in mm.
        axes: (3, 3) rows are the frame's unit vectors u, v, w in world coordinates.
    """

    name: str
    shape: LongShape | NodularShape
    origin: np.ndarray
    axes: np.ndarray

    def to_world(self, local: np.ndarray) -> np.ndarray:
        """World (x, y, z) in mm of local (u, v, w) points (..., 3) in mm."""
        return self.origin + np.asarray(local) @ self.axes


@dataclass
class Rays:
    """One ray for each pixel, from a point source to a flat detector in the plane z = 0.

    Attributes:
        shape: (rows, columns) of the detector.
        spacing: mm between pixel centres.
        corner: world (x, y) in mm of the centre of pixel (row 0, column 0); y falls as the row rises.
        source: (3,) world position of the focal spot in mm.
    """

    shape: tuple[int, int]
    spacing: float
    corner: tuple[float, float]
    source: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates (..., 2) as (x = column, y = row), 0-based at pixel centres, of world points (..., 3)."""
        points = np.asarray(points, dtype=float)
        stretch = self.source[2] / (self.source[2] - points[..., 2:])
        flat = self.source[:2] + (points[..., :2] - self.source[:2]) * stretch
        return np.stack(
            [(flat[..., 0] - self.corner[0]) / self.spacing, (self.corner[1] - flat[..., 1]) / self.spacing], axis=-1
        )


def path_through(bone: Bone, rays: Rays) -> tuple[tuple[slice, slice], np.ndarray, dict[str, np.ndarray]] | None:
    """Path lengths of the rays that can meet a bone.

    Args:
        bone: the placed bone.
        rays: the detector's rays.

    Returns:
        None where the bone lies outside the image, else the window (rows, columns), the mask of the rays that were
        followed inside it, and for those rays ``total`` and ``marrow`` path lengths in mm and the local positions
        ``front_u``, ``front_v``, ``back_u``, ``back_v`` in mm a third of the bone's depth above and below its middle.
    """
    u_low, u_high, v_reach, w_reach, margin = bone.shape.bounds()
    axes = bone.axes.astype(np.float32)
    corners = np.array(
        [[u, v, w] for u in (u_low, u_high) for v in (-v_reach, v_reach) for w in (-w_reach, w_reach)], dtype=float
    )
    pixels = rays.project(bone.to_world(corners))
    first = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 2, 0)
    last = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 3, rays.shape[::-1])
    if np.any(first >= last):
        return None
    window = (slice(first[1], last[1]), slice(first[0], last[0]))

    x = (rays.corner[0] + rays.spacing * np.arange(first[0], last[0]) - bone.origin[0]).astype(np.float32)[None, :]
    y = (rays.corner[1] - rays.spacing * np.arange(first[1], last[1]) - bone.origin[1]).astype(np.float32)[:, None]
    start = [axes[i, 0] * x + axes[i, 1] * y - axes[i, 2] * np.float32(bone.origin[2]) for i in range(3)]
    source = bone.axes @ (rays.source - bone.origin)
    toward = [np.float32(source[i]) - start[i] for i in range(3)]

    # The middle of the march is where the ray meets the plane through the bone's axis that faces the source most.
    normal = axes[:, 2].copy()
    if isinstance(bone.shape, LongShape):
        normal[0] = 0.0
    normal /= np.linalg.norm(normal)
    norm = np.sqrt(toward[0] ** 2 + toward[1] ** 2 + toward[2] ** 2)
    along = [toward[i] / norm for i in range(3)]
    facing = sum(normal[i] * along[i] for i in range(3))
    middle = -sum(normal[i] * start[i] for i in range(3)) / facing
    centre = [start[i] + middle * along[i] for i in range(3)]

    reach = np.sqrt((normal[1] * v_reach) ** 2 + (normal[2] * w_reach) ** 2)
    if isinstance(bone.shape, NodularShape):
        reach = np.sqrt(reach**2 + (normal[0] * u_high) ** 2)
    half = float(reach / facing.min()) * 1.01
    drift_u, drift_v = half * float(np.abs(along[0]).max()), half * float(np.abs(along[1]).max())
    mask = (centre[0] > u_low - margin - drift_u) & (centre[0] < u_high + margin + drift_u)
    if isinstance(bone.shape, LongShape):
        t = centre[0] / bone.shape.length
        limit = np.where(centre[1] > 0, _look_up(bone.shape.radial, t, 0, 1), _look_up(bone.shape.ulnar, t, 0, 1))
        mask &= np.abs(centre[1]) < limit + margin + drift_v + 0.5 * drift_u
    else:
        limit = _look_up(bone.shape.outline, np.arctan2(centre[1], centre[0]), -np.pi, np.pi)
        mask &= np.hypot(centre[0], centre[1]) < limit + margin + max(drift_u, drift_v)
    if not mask.any():
        return None

    here = [c[mask] for c in centre]
    direction = [d[mask] for d in along]
    offsets = np.linspace(-half, half, RAY_SAMPLES, dtype=np.float32)[:, None]
    inside, cortex = bone.shape.depth_below_surface(*(here[i] + offsets * direction[i] for i in range(3)))
    step = np.float32(2.0 * half / (RAY_SAMPLES - 1))
    third = np.float32(w_reach / 3.0)
    return (
        window,
        mask,
        {
            "total": length_above(inside, 0.0, step),
            "marrow": length_above(inside, cortex, step),
            "front_u": here[0] + third * direction[0],
            "front_v": here[1] + third * direction[1],
            "back_u": here[0] - third * direction[0],
            "back_v": here[1] - third * direction[1],
        },
    )
