"""Shapes of the single bones of the hand, built from widths and lengths."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from .solids import LongShape, curve, end_surface


def _cortex(thick: float, scale: float, proximal: float = 0.75, distal: float = 0.6) -> np.ndarray:
    """Cortical thickness along a bone: thick in the middle of the shaft, thin under the joint surfaces."""
    points = [(0, proximal), (0.1, 0.45), (0.2, 0.42 * thick), (0.45, thick), (0.65, 0.95 * thick)]
    return scale * curve([*points, (0.84, 0.42), (0.93, 0.42), (1, distal)], 0, 1)


def metacarpal_shape(length: float, widths: tuple[float, float, float], cortex: float, scale: float) -> LongShape:
    """Metacarpal with a broad base, a waisted shaft and a round head; sizes in mm, cortex in mm before scaling."""
    base, waist, head = (0.5 * w for w in widths)
    outline = [(-0.1, base), (0, 0.97 * base), (0.06, base), (0.14, 0.9 * base + 0.1 * waist)]
    outline += [
        (0.26, 0.34 * base + 0.66 * waist),
        (0.45, waist),
        (0.58, 1.04 * waist),
        (0.7, 0.68 * waist + 0.32 * head),
    ]
    outline += [
        (0.8, 0.28 * waist + 0.72 * head),
        (0.87, 0.97 * head),
        (0.91, head),
        (0.96, 0.96 * head),
        (1.1, 0.85 * head),
    ]
    width = curve(outline, 0, 1)
    depth = curve(
        [(0, 1.06 * base), (0.15, 0.92 * base), (0.4, 0.98 * waist), (0.65, waist), (0.88, 0.95 * head)], 0, 1
    )
    r = 0.75 * head
    dome = [(-1.25, 1.4 * r), (-1, 0.85 * r), (-0.8, 0.4 * r), (-0.5, 0.11 * r), (0, 0), (0.5, 0.13 * r)]
    dome += [(0.8, 0.46 * r), (1, 0.92 * r), (1.25, 1.4 * r)]
    return LongShape(
        length=length,
        ulnar=width * 1.02,
        radial=width * 0.98,
        depth=depth,
        cortex=_cortex(cortex, scale, 0.7, 0.55),
        spongiosa=curve([(0, 0.34), (0.15, 0.24), (0.3, 0.08), (0.5, 0.03), (0.7, 0.08), (0.84, 0.24), (1, 0.3)], 0, 1),
        base=scale
        * end_surface([(-1.25, 2.2), (-0.8, 0.7), (-0.35, 0.1), (0.1, 0.8), (0.6, 0.2), (1.0, 0.7), (1.25, 1.8)]),
        head=end_surface(dome),
        base_dome=0.6 * scale,
        head_dome=0.75 * r,
        rounding=3.0 * scale,
    )


def phalanx_shape(length: float, widths: tuple[float, float, float], cortex: float, scale: float) -> LongShape:
    """Proximal or middle phalanx: cupped base, concave sides and a head of two condyles; sizes in mm."""
    base, waist, head = (0.5 * w for w in widths)
    outline = [
        (-0.1, 0.97 * base),
        (0, 0.97 * base),
        (0.05, base),
        (0.11, 0.96 * base),
        (0.24, 0.42 * base + 0.58 * waist),
    ]
    outline += [(0.42, 1.06 * waist), (0.62, waist), (0.76, 0.8 * waist + 0.2 * head), (0.88, 0.97 * head)]
    outline += [(0.94, head), (1.1, 0.94 * head)]
    width = curve(outline, 0, 1)
    depth = curve(
        [(0, 0.8 * base), (0.1, 0.8 * base), (0.3, 0.9 * waist), (0.6, 0.8 * waist), (0.9, 0.88 * head)], 0, 1
    )
    cup, groove = 0.085 * widths[0], 0.045 * widths[2]
    r = 0.55 * head
    trochlea = [(-1.25, 1.5 * r), (-1, 0.95 * r), (-0.8, 0.3 * r), (-0.55, 0.0), (-0.25, 0.6 * groove), (0, groove)]
    trochlea += [(0.25, 0.6 * groove), (0.55, 0), (0.8, 0.3 * r), (1, 0.95 * r), (1.25, 1.5 * r)]
    return LongShape(
        length=length,
        ulnar=width,
        radial=width,
        depth=depth,
        cortex=_cortex(cortex, scale, 0.95, 0.6),
        spongiosa=curve(
            [
                (0, 0.42),
                (0.07, 0.28),
                (0.13, 0.34),
                (0.18, 0.22),
                (0.35, 0.09),
                (0.6, 0.07),
                (0.78, 0.17),
                (0.9, 0.3),
                (1, 0.36),
            ],
            0,
            1,
        ),
        base=end_surface(
            [(-1.25, 0.9 * cup), (-1, 0.2 * cup), (-0.7, 0.25 * cup), (0, cup), (0.7, 0.25 * cup), (1, 0.2 * cup)]
        ),
        head=end_surface(trochlea),
        base_dome=-0.75 * cup,
        head_dome=0.9 * head,
        rounding=1.3 * scale,
    )


def distal_phalanx_shape(length: float, widths: tuple[float, float, float], cortex: float, scale: float) -> LongShape:
    """Distal phalanx: broad base, slender waist and a flat, flared tuft; sizes in mm."""
    base, waist, tuft = (0.5 * w for w in widths)
    outline = [
        (-0.1, 0.95 * base),
        (0, 0.95 * base),
        (0.07, base),
        (0.15, 0.9 * base),
        (0.34, 0.35 * base + 0.65 * waist),
    ]
    outline += [(0.58, waist), (0.72, 0.75 * waist + 0.25 * tuft), (0.84, 0.98 * tuft), (0.9, tuft), (1.1, 0.85 * tuft)]
    width = curve(outline, 0, 1)
    depth = curve(
        [(0, 0.72 * base), (0.12, 0.7 * base), (0.4, 0.85 * waist), (0.7, 0.75 * waist), (0.9, 0.6 * tuft)], 0, 1
    )
    cup = 0.9 * scale
    crown = [
        (-1.25, 1.3 * tuft),
        (-1, 0.8 * tuft),
        (-0.7, 0.25 * tuft),
        (-0.3, 0.04 * tuft),
        (0, 0),
        (0.3, 0.04 * tuft),
    ]
    crown += [(0.7, 0.25 * tuft), (1, 0.8 * tuft), (1.25, 1.3 * tuft)]
    return LongShape(
        length=length,
        ulnar=width,
        radial=width,
        depth=depth,
        cortex=_cortex(cortex, scale, 0.9, 0.35),
        spongiosa=curve([(0, 0.4), (0.1, 0.28), (0.2, 0.24), (0.4, 0.12), (0.6, 0.12), (0.8, 0.3), (1, 0.34)], 0, 1),
        base=end_surface(
            [(-1.25, 0.8), (-1, 0.1 * cup), (-0.6, 0.7 * cup), (0, 0.55 * cup), (0.6, 0.7 * cup), (1, 0.1 * cup)]
        ),
        head=end_surface(crown),
        base_dome=-0.6 * cup,
        head_dome=0.5 * tuft,
        rounding=1.0 * scale,
    )


FOREARM = 140.0  # mm of radius and ulna, before scaling: enough to leave every image


def _last(span: float, points: list[tuple[float, float]]) -> np.ndarray:
    """Curve over a forearm bone of which only the last ``span`` mm are described."""
    return curve([(1.0 - (1.0 - t) * span / FOREARM, value) for t, value in points], 0, 1)


def radius_shape(scale: float, cortex: float) -> LongShape:
    """Distal part of the radius, its joint surface facing ulnarwards; positions below are over the last 75 mm."""
    ulnar = [(0, 6.5), (0.4, 7.0), (0.62, 8.6), (0.76, 12.2), (0.85, 14.6), (0.9, 15.0), (1, 14.6)]
    radial = [(0, 6.5), (0.4, 7.2), (0.62, 9.0), (0.76, 12.4), (0.85, 14.2), (0.93, 14.4), (1, 13.4)]
    cut = [
        (-1.25, 11.6),
        (-1, 10.4),
        (-0.7, 10.5),
        (-0.3, 10.0),
        (0.1, 8.4),
        (0.45, 5.6),
        (0.75, 2.0),
        (0.9, 0.2),
        (1.0, 0.0),
    ]
    return LongShape(
        length=FOREARM * scale,
        ulnar=scale * _last(75, ulnar),
        radial=scale * _last(75, radial),
        depth=scale * _last(75, [(0, 6.0), (0.6, 7.5), (0.8, 10.0), (1, 10.5)]),
        cortex=scale * _last(75, [(0, 1.25 * cortex), (0.5, cortex), (0.7, 0.6), (0.85, 0.42), (1, 0.75)]),
        spongiosa=_last(75, [(0, 0.04), (0.5, 0.07), (0.7, 0.15), (0.8, 0.2), (0.845, 0.3), (0.87, 0.22), (1, 0.3)]),
        base=end_surface([(-1, 0), (1, 0)]),
        head=scale * end_surface([*cut, (1.25, 6.0)]),
        base_dome=0.0,
        head_dome=-1.6 * scale,
        rounding=2.2 * scale,
    )


def ulna_shape(scale: float, cortex: float) -> LongShape:
    """Distal part of the ulna with its round head, without the styloid; positions below are over the last 65 mm."""
    width = [(0, 5.6), (0.4, 5.3), (0.66, 5.5), (0.82, 7.2), (0.91, 8.2), (0.96, 8.0), (1, 7.0)]
    return LongShape(
        length=FOREARM * scale,
        ulnar=scale * _last(65, width),
        radial=scale * _last(65, width),
        depth=scale * _last(65, [(0, 5.6), (0.6, 5.4), (0.85, 7.2), (1, 7.8)]),
        cortex=scale * _last(65, [(0, 1.25 * cortex), (0.5, cortex), (0.75, 0.6), (0.9, 0.42), (1, 0.7)]),
        spongiosa=_last(65, [(0, 0.04), (0.6, 0.09), (0.8, 0.2), (0.9, 0.32), (1, 0.34)]),
        base=end_surface([(-1, 0), (1, 0)]),
        head=scale
        * end_surface(
            [(-1.25, 3.0), (-0.9, 1.2), (-0.5, 0.9), (-0.1, 0.3), (0.3, 0.1), (0.65, 0.7), (0.9, 2.2), (1.25, 5.0)]
        ),
        base_dome=0.0,
        head_dome=1.5 * scale,
        rounding=2.0 * scale,
    )


def styloid_shape(scale: float) -> LongShape:
    """Styloid process of the ulna: a blunt peg of 10.5 mm (before scaling), half of it sunk in the head."""
    return LongShape(
        length=10.5 * scale,
        ulnar=scale * curve([(0, 2.8), (0.4, 2.6), (0.8, 1.9), (1, 1.5)], 0, 1),
        radial=scale * curve([(0, 4.2), (0.4, 3.6), (0.7, 2.2), (1, 1.5)], 0, 1),
        depth=scale * curve([(0, 4.0), (0.6, 3.4), (1, 2.2)], 0, 1),
        cortex=scale * curve([(0, 0.02), (0.35, 0.1), (0.5, 0.45), (1, 0.55)], 0, 1),
        spongiosa=curve([(0, 0.0), (0.3, 0.1), (0.6, 0.4), (1, 0.4)], 0, 1),
        base=end_surface([(-1.25, 2.0 * scale), (0, 0), (1.25, 2.0 * scale)]),
        head=scale * end_surface([(-1.25, 2.0), (-0.8, 0.9), (0, 0), (0.8, 0.9), (1.25, 2.0)]),
        base_dome=1.0 * scale,
        head_dome=0.8 * scale,
        rounding=1.0 * scale,
    )


def closed_outline(points: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closed smooth outline through points (n, 2) as x, y: table over atan2(v, u) with u = y, v = x, and the angles."""
    offset = points - centre
    angle = np.arctan2(offset[:, 0], offset[:, 1])
    reach = np.hypot(offset[:, 0], offset[:, 1])
    order = np.argsort(angle)
    a, r = angle[order], reach[order]
    spline = CubicSpline(np.append(a, a[0] + 2 * np.pi), np.append(r, r[0]), bc_type="periodic")
    grid = np.linspace(-np.pi, np.pi, 256)
    table = spline(np.where(grid < a[0], grid + 2 * np.pi, grid))[:-1]
    table = gaussian_filter1d(table, 5.0, mode="wrap")
    return np.append(table, table[0]).astype(np.float32), angle
