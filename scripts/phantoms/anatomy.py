"""A posed left hand: 29 bones, their landmarks, and the joints that carry the soft tissue.

World coordinates in mm, as the hand lies palm down on the detector: x to the radial side (thumb), y to the finger
tips, z up to the X-ray source. Bone lengths are close to the mean segment lengths published by Buryanov and
Kotiuk ("Proportions of Hand Segments", Int. J. Morphol. 28(3), 2010), the middle and distal phalanges a little longer;
widths and the layout of the wrist are typical adult values. ``SIZE`` turns them into a small adult hand, which each
subject then scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import (
    FOREARM,
    closed_outline,
    distal_phalanx_shape,
    metacarpal_shape,
    phalanx_shape,
    radius_shape,
    styloid_shape,
    ulna_shape,
)
from .solids import Bone, LongShape, NodularShape

SIZE = 0.87
DIGITS = ("thumb", "index", "middle", "ring", "little")

# Lengths in mm: metacarpal, proximal, middle and distal phalanx (the thumb has no middle phalanx).
LENGTHS = {
    "thumb": (46.2, 31.6, 0.0, 23.5),
    "index": (68.1, 40.5, 24.0, 17.8),
    "middle": (64.6, 45.0, 28.4, 19.0),
    "ring": (58.0, 41.8, 27.4, 19.2),
    "little": (53.7, 33.2, 19.4, 17.4),
}
# Full widths in mm (base, narrowest part, head) of the same bones.
WIDTHS = {
    "thumb": ((16.5, 11.0, 16.0), (15.0, 9.4, 12.6), None, (12.4, 6.4, 8.0)),
    "index": ((17.8, 8.8, 15.4), (15.4, 10.0, 11.8), (12.8, 8.4, 10.0), (10.0, 5.0, 6.6)),
    "middle": ((15.2, 9.0, 15.4), (16.0, 10.6, 12.4), (13.6, 9.0, 10.6), (10.6, 5.4, 7.2)),
    "ring": ((12.8, 7.4, 13.8), (14.8, 9.6, 11.6), (12.8, 8.5, 10.1), (10.2, 5.2, 7.0)),
    "little": ((14.0, 7.8, 12.8), (13.0, 8.3, 9.7), (10.2, 6.8, 8.1), (8.6, 4.4, 5.8)),
}
# Middle of the metacarpal bases (x, y, z) in mm from the middle of the radius' joint surface, and the resting
# direction of the metacarpals in degrees from the hand's axis to the radial side.
METACARPAL_BASES = {
    "thumb": (26.6, 33.4, -5.0),
    "index": (11.6, 36.4, 0.0),
    "middle": (-0.9, 35.6, 0.5),
    "ring": (-11.2, 33.6, 0.0),
    "little": (-20.2, 30.2, -1.0),
}
METACARPAL_ANGLES = {"thumb": 37.0, "index": 6.5, "middle": -2.0, "ring": -11.0, "little": -20.5}
FINGER_ANGLES = {"thumb": 27.0, "index": 5.0, "middle": 0.0, "ring": -6.0, "little": -15.5}

# Outlines of the carpal bones (x, y) in mm in the same system, counter-clockwise, then height z and half depth in mm.
CARPALS: dict[str, tuple[list[tuple[float, float]], float, float]] = {
    "scaphoid": (
        [
            (1.6, 4.6),
            (4.6, 2.9),
            (9.6, 4.8),
            (14.2, 8.4),
            (17.6, 11.4),
            (20.8, 15.2),
            (20.6, 19.2),
            (16.8, 21.2),
            (12.6, 20.2),
            (8.4, 17.6),
            (5.6, 13.8),
            (3.0, 10.6),
            (1.4, 7.6),
        ],
        -2.0,
        6.4,
    ),
    "lunate": (
        [
            (-12.4, 4.6),
            (-9.6, 1.0),
            (-5.4, -0.8),
            (-1.4, 0.4),
            (1.6, 3.2),
            (2.4, 6.8),
            (1.8, 10.9),
            (-1.2, 10.2),
            (-4.8, 10.0),
            (-8.4, 10.8),
            (-11.2, 12.2),
            (-12.9, 8.4),
        ],
        0.0,
        7.8,
    ),
    "triquetrum": (
        [
            (-15.0, 5.6),
            (-12.6, 8.8),
            (-12.2, 12.8),
            (-14.8, 16.4),
            (-18.4, 20.0),
            (-23.0, 21.4),
            (-25.6, 18.4),
            (-24.6, 13.2),
            (-20.4, 8.2),
        ],
        1.0,
        6.2,
    ),
    "pisiform": (
        [(-15.6, 11.6), (-16.6, 15.6), (-20.2, 17.4), (-23.8, 15.2), (-24.4, 11.0), (-21.8, 7.4), (-17.6, 7.8)],
        -9.0,
        5.0,
    ),
    "hamate": (
        [
            (-9.8, 11.2),
            (-7.4, 15.0),
            (-6.8, 21.0),
            (-6.9, 27.0),
            (-6.8, 33.0),
            (-11.6, 33.2),
            (-17.0, 31.8),
            (-21.8, 29.4),
            (-23.4, 25.6),
            (-21.0, 21.8),
            (-16.8, 18.8),
            (-12.6, 14.8),
        ],
        0.0,
        7.4,
    ),
    "capitate": (
        [
            (-3.2, 9.9),
            (1.2, 10.4),
            (4.6, 13.4),
            (5.9, 18.0),
            (6.4, 23.0),
            (7.2, 28.4),
            (7.8, 34.4),
            (3.2, 35.2),
            (-2.0, 35.0),
            (-7.2, 33.8),
            (-6.8, 28.0),
            (-7.0, 22.0),
            (-8.0, 16.6),
            (-6.8, 12.0),
        ],
        0.5,
        8.2,
    ),
    "trapezoid": (
        [
            (7.6, 20.8),
            (12.0, 20.2),
            (16.6, 22.0),
            (18.6, 25.6),
            (17.8, 30.0),
            (17.6, 34.4),
            (12.6, 35.8),
            (8.6, 34.6),
            (8.0, 30.0),
            (7.0, 25.0),
        ],
        1.5,
        6.0,
    ),
    "trapezium": (
        [
            (14.8, 23.6),
            (18.6, 21.6),
            (22.4, 19.8),
            (27.4, 21.6),
            (30.6, 25.2),
            (30.0, 29.0),
            (26.0, 31.2),
            (22.2, 35.0),
            (18.2, 35.2),
            (15.6, 32.2),
            (14.4, 28.0),
        ],
        -5.0,
        5.6,
    ),
}

LANDMARKS = (
    "wrist_ulnar",
    "ulna_styloid_tip",
    "ulna_head_radial_corner",
    "radius_ulnar_corner",
    "wrist_radial",
    "radius_styloid_tip",
    "radius_articular_centre",
    "lunate_proximal_ulnar_corner",
    "triquetrum_proximal_tip",
    "hamate_proximal_tip",
    "capitate_head",
    "trapezoid_proximal_ulnar_corner",
    "scaphoid_distal_pole",
    "little_metacarpal_base",
    "ring_metacarpal_base",
    "middle_metacarpal_base",
    "index_metacarpal_base",
    "thumb_metacarpal_base",
    "thumb_proximal_phalanx_base",
    "thumb_distal_phalanx_base",
    "thumb_tip",
    *(
        f"{digit}_{part}"
        for digit in DIGITS[1:]
        for part in ("proximal_phalanx_base", "middle_phalanx_base", "distal_phalanx_base", "tip")
    ),
)
_CARPAL_LANDMARKS = {  # landmark: (bone, index of the outline's point)
    "lunate_proximal_ulnar_corner": ("lunate", 0),
    "triquetrum_proximal_tip": ("triquetrum", 0),
    "hamate_proximal_tip": ("hamate", 0),
    "capitate_head": ("capitate", 0),
    "trapezoid_proximal_ulnar_corner": ("trapezoid", 0),
    "scaphoid_distal_pole": ("scaphoid", 6),
}


@dataclass
class Hand:
    """A posed hand.

    Attributes:
        bones: the placed bones; sesamoids, the ulnar styloid and the hook of the hamate are separate entries.
        landmarks: (37, 3) world positions in mm in the order of LANDMARKS.
        joints: named world positions (3,) in mm that the soft tissue is built on.
        scale: mm per mm of the table values, so sizes of soft tissue can follow.
        build: relative thickness of the soft tissue.
    """

    bones: list[Bone]
    landmarks: np.ndarray
    joints: dict[str, np.ndarray]
    scale: float
    build: float


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector (3,): azimuth in degrees from +y to +x, elevation in degrees above the detector's plane."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)])


def frame(axis: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Bone axes (3, 3) with rows u, v, w for a bone along ``axis`` turned about it by ``roll`` degrees."""
    lateral = np.cross(axis, [0.0, 0.0, 1.0])
    lateral /= np.linalg.norm(lateral)
    dorsal = np.cross(lateral, axis)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return np.stack([axis, c * lateral + s * dorsal, c * dorsal - s * lateral])


class _Pose:
    """Rigid motion of the whole hand: tilt out of the detector's plane, then rotation in it, then a lift above it."""

    def __init__(self, rotation: float, tilt: tuple[float, float], height: float) -> None:
        """Rotation to the radial side and tilts about x and y in degrees; height of the hand's origin in mm."""
        r, p, q = np.radians([-rotation, *tilt])
        about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        about_y = np.array([[np.cos(q), 0, np.sin(q)], [0, 1, 0], [-np.sin(q), 0, np.cos(q)]])
        self.matrix = about_z @ about_x @ about_y
        self.offset = np.array([0.0, 0.0, height])

    def point(self, local: np.ndarray) -> np.ndarray:
        return self.matrix @ local + self.offset

    def axes(self, local: np.ndarray) -> np.ndarray:
        return local @ self.matrix.T


class _Builder:
    """Collects the bones, landmarks and joints of one hand while its parts are laid out in the hand's own system."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw what all bones of a subject share: size, proportions, density and the pose of the whole hand."""
        self.rng = rng
        self.size = SIZE * rng.uniform(0.85, 1.15)
        self.finger_ratio = np.clip(rng.normal(1.0, 0.03), 0.94, 1.06)
        self.width_ratio = np.clip(rng.normal(1.0, 0.05), 0.9, 1.1)
        self.cortex_ratio = rng.uniform(0.82, 1.18)
        self.density = rng.uniform(0.85, 1.2)
        self.carpal_stretch = np.array([rng.normal(1.0, 0.03), rng.normal(1.0, 0.03)])
        self.spread = rng.uniform(0.55, 1.45)
        self.thumb_out = rng.normal(0.0, 5.0)
        self.pose = _Pose(rng.uniform(-8, 8), (rng.normal(0, 2.0), rng.normal(0, 3.0)), 17.0 * self.size)
        self.bones: list[Bone] = []
        self.points: dict[str, np.ndarray] = {}
        self.joints: dict[str, np.ndarray] = {}

    def add(self, name: str, shape: LongShape | NodularShape, origin: np.ndarray, axes: np.ndarray) -> Bone:
        """Place a shape given in the hand's own system (mm) and return the bone in world coordinates."""
        shape.spongiosa = shape.spongiosa * self.density
        bone = Bone(name, shape, self.pose.point(np.asarray(origin, dtype=float)), self.pose.axes(axes))
        self.bones.append(bone)
        return bone

    def add_forearm(self) -> None:
        """Radius and ulna with the landmarks of the wrist; landmarks 0 and 4 are its two outer ends."""
        size, rng = self.size, self.rng
        deviation = rng.normal(0.0, 2.0)  # degrees between the hand and the forearm
        axes = frame(direction(deviation, 0.0))
        shape = radius_shape(size, self.cortex_ratio)
        shape.ulnar, shape.radial = shape.ulnar * self.width_ratio, shape.radial * self.width_ratio
        tip = np.array([5.0, 10.0, 0.0]) * size
        radius = self.add("radius", shape, tip - axes[0] * shape.length, axes)
        self.points["wrist_radial"] = radius.to_world(shape.on_axis(1.0 - 9.0 / FOREARM, 1.0))
        self.points["radius_styloid_tip"] = radius.to_world(shape.on_head(0.86))
        self.points["radius_articular_centre"] = radius.to_world(shape.on_head(0.1))
        self.points["radius_ulnar_corner"] = radius.to_world(shape.on_head(-0.9))

        shape = ulna_shape(size, self.cortex_ratio)
        variance = rng.normal(-1.8, 0.8)  # the ulnar head mostly ends a little short of the radius
        axes = frame(direction(deviation - 1.0, 0.0))
        head = np.array([-21.2 * self.width_ratio, variance, 1.0]) * size
        ulna = self.add("ulna", shape, head - axes[0] * shape.length, axes)
        self.points["wrist_ulnar"] = ulna.to_world(shape.on_axis(1.0 - 5.9 / FOREARM, -1.0))
        self.points["ulna_head_radial_corner"] = ulna.to_world(shape.on_head(0.85))
        peg = styloid_shape(size * rng.uniform(0.85, 1.15))
        lean = frame(direction(deviation + 6.0, 2.0))
        base = head + np.array([-5.0, -5.8, 1.0]) * size
        styloid = self.add("ulna_styloid", peg, base, lean)
        self.points["ulna_styloid_tip"] = styloid.to_world(peg.on_head())
        # Outlines of skin start at these points; lengths are mm from the end of the bone.
        for name, bone, end in (("radius", radius, 15.0), ("ulna", ulna, 6.5)):
            self.joints[f"{name}_distal"] = bone.to_world(bone.shape.on_axis(1.0 - end / FOREARM))
            self.joints[f"{name}_proximal"] = bone.to_world(bone.shape.on_axis(0.0))

    def add_carpals(self) -> None:
        """The eight carpal bones, varied a little in place, turn and outline, and the hook of the hamate."""
        size, rng = self.size, self.rng
        axes = frame(np.array([0.0, 1.0, 0.0]))
        placed = {}
        for name, (outline, height, depth) in CARPALS.items():
            points = np.array(outline) * self.carpal_stretch
            centre = points.mean(axis=0)
            turn = np.radians(rng.normal(0.0, 2.0))
            matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            # The outline swells and shrinks slowly along its course: shapes differ between people.
            angle = np.arctan2(*(points - centre).T)[:, None]
            wave = rng.normal(0.0, 0.015, 4)
            swell = 1.0 + wave[0] * np.cos(2 * angle) + wave[1] * np.sin(2 * angle)
            swell += wave[2] * np.cos(3 * angle) + wave[3] * np.sin(3 * angle)
            points = size * (centre + (points - centre) * swell @ matrix.T + rng.normal(0.0, 0.25, 2))
            centre = points.mean(axis=0)
            table, angles = closed_outline(points, centre)
            shape = NodularShape(table, size * depth, 0.36 * size * self.cortex_ratio, 0.37)
            bone = self.add(name, shape, np.array([*centre, size * height]), axes)
            placed[name] = (bone, angles)
        for landmark, (name, index) in _CARPAL_LANDMARKS.items():
            bone, angles = placed[name]
            self.points[landmark] = bone.to_world(bone.shape.on_outline(angles[index]))
        centre = np.array([-13.0, 25.6, -11.0]) * size
        self._add_nodule("hamate_hook", self.pose.point(centre), axes, (2.8, 4.0, 3.0), 0.4)

    def add_digit(self, digit: str) -> None:
        """Metacarpal and phalanges of one digit, each turning about the centre of the head before it."""
        size, rng = self.size, self.rng
        thumb = digit == "thumb"
        parts = [i for i in range(4) if WIDTHS[digit][i] is not None]
        if thumb:
            azimuths = [METACARPAL_ANGLES[digit] + self.thumb_out, FINGER_ANGLES[digit] + 0.7 * self.thumb_out]
        else:
            azimuths = [METACARPAL_ANGLES[digit] * (0.9 + 0.1 * self.spread), FINGER_ANGLES[digit] * self.spread]
        azimuths = [a + rng.normal(0, 1.2) for a in azimuths]
        lean = {"thumb": -2.0, "index": -1.5, "little": 2.0}.get(
            digit, 0.0
        )  # the outer fingers curve to the middle one
        for _ in parts[2:]:
            azimuths.append(azimuths[-1] + rng.normal(lean, 1.4))
        rest = {"thumb": (-9, -6, 0, -3), "index": (1, -6, -8, -4), "middle": (2, -6, -8, -4)}
        elevations = [rng.normal(rest.get(digit, (-1, -6, -8, -4))[i], 1.5 if i == 0 else 3.5) for i in parts]
        # The thumb lies on its side when the palm is flat, so its bones are seen obliquely.
        roll = {"thumb": -38.0, "index": 4.0, "little": -9.0}.get(digit, 0.0) + rng.normal(0, 3.0)

        x, y, z = METACARPAL_BASES[digit]
        base = size * np.array([x * self.carpal_stretch[0], y * self.carpal_stretch[1], z]) + rng.normal(0, 0.25, 3)
        for step, part in enumerate(parts):
            name = ("metacarpal", "proximal_phalanx", "middle_phalanx", "distal_phalanx")[part]
            length = size * LENGTHS[digit][part] * np.clip(rng.normal(1, 0.015), 0.96, 1.04)
            length *= self.finger_ratio if part else 1.0
            widths = tuple(size * self.width_ratio * w for w in WIDTHS[digit][part])
            cortex = self.cortex_ratio * (0.135 * WIDTHS[digit][part][1] + (0.5 if part == 0 else 0.25))
            make = (metacarpal_shape, phalanx_shape, phalanx_shape, distal_phalanx_shape)[part]
            shape = make(length, widths, cortex, size)
            axis = direction(azimuths[step], elevations[step])
            bone = self.add(f"{digit}_{name}", shape, base, frame(axis, roll))
            self.points[f"{digit}_{name}_base"] = bone.to_world(shape.on_base())
            if part == 0:
                self.joints[f"{digit}_cmc"] = bone.to_world(np.zeros(3))
            if part == 3:
                self.points[f"{digit}_tip"] = self.joints[f"{digit}_tip"] = bone.to_world(shape.on_head())
                return
            turn, gap = 0.42 * widths[2], size * (1.5, 1.2, 1.0)[part]
            pivot = base + axis * (shape.length - turn)
            self.joints[f"{digit}_{('mcp', 'pip', 'dip')[part]}"] = self.pose.point(pivot)
            base = pivot + direction(azimuths[step + 1], elevations[step + 1]) * (turn + gap)

    def add_sesamoids(self) -> None:
        """Two sesamoids at the thumb's metacarpal head and, in many hands, one at the index and the little finger."""
        chances = (("thumb", -4.6, 1.0), ("thumb", 3.0, 1.0), ("index", 4.4, 0.4), ("little", -3.6, 0.6))
        metacarpals = {b.name.split("_")[0]: b for b in self.bones if b.name.endswith("metacarpal")}
        for digit, lateral, chance in chances:
            present = self.rng.uniform() < chance
            radius = self.rng.uniform(1.7, 2.5) * (1.0 if digit == "thumb" else 0.75)
            if present:
                bone = metacarpals[digit]
                local = np.array([bone.shape.length - 4.0 * self.size, lateral * self.size, -9.0 * self.size])
                self._add_nodule(
                    f"{digit}_sesamoid", bone.to_world(local), bone.axes, (radius * 1.25, radius, radius), 0.4
                )

    def _add_nodule(
        self, name: str, centre: np.ndarray, axes: np.ndarray, radii: tuple[float, float, float], cortex: float
    ) -> None:
        """An ellipsoid with half axes along u, v, w in mm before scaling, centred at a world position."""
        angle = np.linspace(-np.pi, np.pi, 256)
        along, across, depth = (self.size * r for r in radii)
        outline = 1.0 / np.hypot(np.cos(angle) / along, np.sin(angle) / across)
        shape = NodularShape(outline.astype(np.float32), depth, cortex * self.size, 0.3 * self.density)
        self.bones.append(Bone(name, shape, centre, axes))


def make_hand(rng: np.random.Generator) -> Hand:
    """Draw a subject and a pose.

    Args:
        rng: random generator; the same state gives the same hand.

    Returns:
        The hand, its origin (the middle of the radius' joint surface) above world (0, 0).
    """
    builder = _Builder(rng)
    builder.add_forearm()
    builder.add_carpals()
    for digit in DIGITS:
        builder.add_digit(digit)
    builder.add_sesamoids()
    landmarks = np.stack([builder.points[name] for name in LANDMARKS])
    return Hand(builder.bones, landmarks, builder.joints, builder.size, rng.uniform(0.92, 1.1))
