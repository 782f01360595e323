"""A left hand laid palm down on the detector: bones of known thickness, their landmarks, and the skin around them.

Coordinates are mm in the detector's plane, x to the thumb and y to the finger tips; ``hand.json`` has the numbers.
A bone is described by how thick it is above each of its points, so that the X-ray's path needs no search.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline, PchipInterpolator

ANATOMY: dict[str, Any] = json.loads(Path(__file__).with_name("hand.json").read_text(encoding="utf-8"))
LANDMARKS = tuple(ANATOMY["landmarks"])
DIGITS = tuple(ANATOMY["digits"])

_SAMPLES = 256
_PLACES = {"along": np.linspace(0, 1, _SAMPLES), "across": np.linspace(-1.25, 1.25, _SAMPLES)}


@dataclass
class LongBone:
    """A shaft with shaped ends; ``u`` runs along it from the wrist, ``v`` to the thumb's side.

    Attributes:
        place: (x, y) of the middle of its base.
        turn: rotation matrix with the rows u and v.
        length: mm along u.
        ulnar, radial, depth: half widths to both sides and half depth, mm, sampled along the bone.
        cortex: thickness of the cortex, mm, sampled along the bone.
        struts: volume fraction of bone in the marrow, sampled along the bone.
        ends: for base and head how far the end is cut back, mm, sampled across the bone in half widths, and by how much
            more it falls away (a cup: negative) at the bone's back and front.
    """

    place: np.ndarray
    turn: np.ndarray
    length: float
    ulnar: np.ndarray
    radial: np.ndarray
    depth: np.ndarray
    cortex: np.ndarray
    struts: np.ndarray
    ends: dict[str, tuple[np.ndarray, float]]

    def corners(self) -> np.ndarray:
        """Corners of a rectangle around the bone, (4, 2)."""
        wide = max(self.ulnar.max(), self.radial.max())
        return self.place + np.array([[0, -wide], [0, wide], [self.length, -wide], [self.length, wide]]) @ self.turn

    def thickness(self, u: np.ndarray, v: np.ndarray, below: bool = False) -> np.ndarray:
        """Thickness in mm at points of the bone; with ``below``, of what lies below the cortex."""
        t = u / self.length
        inset = _at(self.cortex, t) if below else 0.0
        width = np.where(v > 0, _at(self.radial, t), _at(self.ulnar, t)) - inset
        half = np.sqrt(np.maximum(1.0 - (v / np.maximum(width, 1e-3)) ** 2, 0.0))
        for end, inside in (("base", u), ("head", self.length - u)):
            cut, dome = self.ends[end]
            inside = inside - _at(cut, v / np.maximum(width + inset, 1e-3), "across") - inset
            if dome >= 0.0:
                half = np.minimum(half, np.sqrt(np.maximum(inside, 0.0) / max(dome, 0.3)))
            else:
                half = np.where(inside >= 0.0, half, np.maximum(half - np.sqrt(np.maximum(inside / dome, 0.0)), 0.0))
        return 2.0 * half * np.maximum(_at(self.depth, t) - inset, 0.0)

    def share(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Volume fraction of bone in the marrow."""
        return _at(self.struts, u / self.length)

    def point(self, where: str, value: float, side: float = 0.0) -> np.ndarray:
        """A point (x, y): on ``base`` or ``head`` at ``value`` half widths, on the ``side`` at a part of the length."""
        along, across = value * self.length, side
        if where != "side":
            cut = float(_at(self.ends[where][0], value, "across"))
            along, across = (cut if where == "base" else self.length - cut), value
        width = _at(self.radial if across > 0 else self.ulnar, along / self.length)
        return self.place + np.array([along, across * width]) @ self.turn


@dataclass
class ShortBone:
    """A pillow of a given outline.

    Attributes:
        place: (x, y) of its middle.
        reach: mm from the middle to the outline, sampled over the angle from -pi to pi.
        depth: half depth in mm.
        cortex: thickness of the cortex in mm.
        marks: points (n, 2) of the outline that landmarks lie on.
        turn: as of a long bone.
    """

    place: np.ndarray
    reach: np.ndarray
    depth: float
    cortex: float
    marks: np.ndarray
    turn: np.ndarray = field(default_factory=lambda: np.eye(2))

    def corners(self) -> np.ndarray:
        """As of a long bone."""
        far = self.reach.max()
        return self.place + np.array([[-far, -far], [far, far]])

    def thickness(self, u: np.ndarray, v: np.ndarray, below: bool = False) -> np.ndarray:
        """As of a long bone."""
        inset = self.cortex if below else 0.0
        reach = np.interp(np.arctan2(v, u), np.linspace(-np.pi, np.pi, _SAMPLES), self.reach) - inset
        return 2.0 * (self.depth - inset) * np.sqrt(np.maximum(1.0 - (np.hypot(u, v) / reach) ** 3, 0.0))

    def share(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """As of a long bone."""
        return np.full_like(u, 0.37)

    def point(self, where: str, value: int) -> np.ndarray:
        """The point (x, y) that was number ``value`` of the outline."""
        return self.marks[value]


@dataclass
class Hand:
    """A posed hand.

    Attributes:
        bones: the bones by name.
        skin: circles (x, y, radius) in chains, whose envelope is the skin.
        size: mm for a mm of the tables.
    """

    bones: dict[str, LongBone | ShortBone]
    skin: list[np.ndarray]
    size: float

    def landmarks(self) -> np.ndarray:
        """Points (37, 2) in the order of ``LANDMARKS``."""
        return np.array([self.bones[bone].point(*where) for bone, *where in ANATOMY["landmarks"].values()])


@dataclass
class _Subject:
    """What all bones of a subject share: mm for a mm of the tables, and factors on these."""

    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.size = ANATOMY["size"] * self.rng.uniform(0.85, 1.15)
        self.cortex, self.spread, self.build = self.rng.uniform([0.82, 0.55, 0.92], [1.18, 1.45, 1.1])
        self.wide, self.fingers = np.clip(self.rng.normal(1, [0.05, 0.03]), 0.9, 1.1)
        self.stretch = self.rng.normal(1, 0.03, 2)


def make_hand(rng: np.random.Generator) -> Hand:
    """Draw a subject and a pose.

    Args:
        rng: random generator; the same state gives the same hand.
    """
    subject = _Subject(rng)
    bones: dict[str, LongBone | ShortBone] = {}
    joints = _forearm(subject, bones)
    _carpals(subject, bones)
    for digit in DIGITS:
        joints[digit] = _digit(subject, digit, bones)
    _sesamoids(subject, bones)
    skin = _skin(joints, subject.size, subject.size * subject.build)
    return _posed(Hand(bones, skin, subject.size), rng.uniform(-8, 8))


def _forearm(subject: _Subject, bones: dict[str, LongBone | ShortBone]) -> dict[str, list[np.ndarray]]:
    """Add radius and ulna; for each, the points between which the skin runs along it."""
    size, deviation = subject.size, subject.rng.normal(0, 2)  # degrees between hand and forearm
    heads = {"radius": np.array([5.0, 10.0]), "ulna": np.array([-21.2 * subject.wide, subject.rng.normal(-1.8, 0.8)])}
    turn, ends = _turned(deviation), {}
    for name, wrist in (("radius", 126.0), ("ulna", 133.5)):
        place = size * (heads[name] - turn[0] * ANATOMY["bones"][name]["length"])
        bones[name] = _long_bone(name, place, turn, size, subject.wide, subject.cortex)
        ends[name] = [place, place + size * wrist * turn[0]]
    place = size * np.add(heads["ulna"], (-5.0, -5.8))
    bones["ulna_styloid"] = _long_bone("ulna_styloid", place, _turned(deviation + 6), size, 1.0, 1.0)
    return ends


def _carpals(subject: _Subject, bones: dict[str, LongBone | ShortBone]) -> None:
    """Add the bones of the wrist, varied a little in place, turn and outline."""
    rng, size = subject.rng, subject.size
    for name, carpal in ANATOMY["carpals"].items():
        points = np.array(carpal["outline"]) * subject.stretch
        middle, turn = points.mean(0), _turned(rng.normal(0, 2)) @ _turned(0)
        angle = np.arctan2(*(points - middle).T)
        # The outline swells and shrinks along its course, as it does between people.
        swell = 1 + rng.normal(0, 0.015, 4) @ [wave(n * angle) for n in (2, 3) for wave in (np.cos, np.sin)]
        points = size * (middle + (points - middle) * swell[:, None] @ turn + rng.normal(0, 0.25, 2))
        bones[name] = _short_bone(points, size * carpal["depth"], 0.36 * size * subject.cortex)


def _digit(subject: _Subject, digit: str, bones: dict[str, LongBone | ShortBone]) -> list[np.ndarray]:
    """Add metacarpal and phalanges, each turning about the head before it; the joints, and the tip."""
    rng, size, table = subject.rng, subject.size, ANATOMY["digits"][digit]
    thumb = digit == "thumb"
    opening, spread = (rng.normal(0, 5), 1.0) if thumb else (0.0, subject.spread)
    turns = np.array(table["angles"]) * [0.9 + 0.1 * spread, spread] + [opening, 0.7 * opening] + rng.normal(0, 1.2, 2)
    # The outer fingers curve to the middle one.
    bends = rng.normal({"thumb": -2.0, "index": -1.5, "little": 2.0}.get(digit, 0.0), 1.4, len(table["lengths"]) - 2)
    turns = np.append(turns, turns[1] + bends.cumsum())
    parts = ["metacarpal", "proximal_phalanx", *([] if thumb else ["middle_phalanx"]), "distal_phalanx"]
    place = size * np.array(table["base"]) * subject.stretch + rng.normal(0, 0.25, 2)
    joints = [place]
    for number, (part, widths) in enumerate(zip(parts, table["widths"], strict=True)):
        kind = part if part in ANATOMY["bones"] else "phalanx"
        length = table["lengths"][number] * rng.normal(1, 0.015) * (subject.fingers if number else 1.0)
        cortex = subject.cortex * (0.135 * widths[1] + (0.25 if number else 0.5))
        bone = _long_bone(kind, place, _turned(turns[number]), size, subject.wide, cortex, length, widths)
        bones[f"{digit}_{part}"] = bone
        if number + 1 < len(parts):
            radius = 0.42 * size * subject.wide * widths[2]
            joints.append(place + bone.turn[0] * (bone.length - radius))
            place = joints[-1] + _turned(turns[number + 1])[0] * (radius + size * (1.5, 1.2, 1.0)[number])
    return [*joints, bone.point("head", 0.0)]


def _sesamoids(subject: _Subject, bones: dict[str, LongBone | ShortBone]) -> None:
    """Add two at the thumb's metacarpal and, in many hands, one at the index finger's."""
    circle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for digit, across, chance in (("thumb", -4.6, 1.0), ("thumb", 3.0, 1.0), ("index", 4.4, 0.4)):
        bone, radius = bones[f"{digit}_metacarpal"], subject.size * subject.rng.uniform(1.7, 2.5)
        if subject.rng.uniform() < chance and isinstance(bone, LongBone):
            middle = bone.place + np.array([bone.length - 4 * subject.size, across * subject.size]) @ bone.turn
            ring = middle + radius * np.column_stack([np.cos(circle), 1.2 * np.sin(circle)])
            bones[f"{digit}_sesamoid_{across}"] = _short_bone(ring, radius, 0.4 * subject.size)


def _posed(hand: Hand, degrees: float) -> Hand:
    """The hand turned as a whole about the middle of the radius' joint surface."""
    turn = _turned(degrees) @ _turned(0).T
    for bone in hand.bones.values():
        bone.place, bone.turn = bone.place @ turn, bone.turn @ turn
        if isinstance(bone, ShortBone):
            bone.marks = bone.marks @ turn
    hand.skin = [np.column_stack([chain[:, :2] @ turn, chain[:, 2]]) for chain in hand.skin]
    return hand


def _turned(degrees: float) -> np.ndarray:
    """Axes u and v of a bone that points ``degrees`` from +y to +x."""
    angle = np.radians(degrees)
    return np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])


def _at(table: np.ndarray, places: ArrayLike, axis: str = "along") -> np.ndarray:
    return np.interp(places, _PLACES[axis], table)


def _long_bone(
    kind: str,
    place: np.ndarray,
    turn: np.ndarray,
    size: float,
    wide: float,
    cortex: float,
    length: float | None = None,
    widths: Sequence[float] = (0.0, 0.0, 0.0),
) -> LongBone:
    table = ANATOMY["bones"][kind]
    length = table["length"] if length is None else length
    span = table.get("described", length) / length
    halves = size * np.array([1.0, *(0.5 * wide * width for width in widths)])
    broad = wide if kind in ("radius", "ulna") else 1.0

    def curve(name: str, factors: np.ndarray, axis: str = "along") -> np.ndarray:
        rows = [row + [0.0] * (1 + len(factors) - len(row)) for row in table.get(name, table["width"])]
        places, values = np.array(rows)[:, 0], np.array(rows)[:, 1:] @ factors
        places = 1.0 - (1.0 - places) * span if axis == "along" else places
        return PchipInterpolator(places, values)(np.clip(_PLACES[axis], places[0], places[-1]))

    ends = {}
    for end in ("base", "head"):
        dome = table[f"{end}_dome"]
        ends[end] = curve(end, halves, "across"), float(np.dot(dome, halves[: len(dome)]))
    return LongBone(
        place,
        turn,
        size * length,
        curve("ulnar", halves) * broad,
        curve("width", halves) * broad,
        curve("depth", halves),
        curve("cortex", size * np.array([1.0, cortex])),
        curve("struts", np.array([1.0])),
        ends,
    )


def _short_bone(points: np.ndarray, depth: float, cortex: float) -> ShortBone:
    """A pillow through points (n, 2) of its outline, seen from their mean."""
    middle = points.mean(0)
    angle, reach = np.arctan2(*(points - middle).T[::-1]), np.hypot(*(points - middle).T)
    order = np.argsort(angle)
    around = np.append(angle[order], angle[order[0]] + 2 * np.pi)
    outline = CubicSpline(around, np.append(reach[order], reach[order[0]]), bc_type="periodic")
    return ShortBone(middle, outline(np.linspace(-np.pi, np.pi, _SAMPLES)), depth, cortex, points)


def _skin(joints: dict[str, list[np.ndarray]], size: float, build: float) -> list[np.ndarray]:
    """The skin as chains of circles: forearm, palm, ball of the thumb, the digits, and the web of the thumb."""

    def chain(*circles: tuple[np.ndarray, float]) -> np.ndarray:
        return np.array([[*place, radius * build] for place, radius in circles])

    radius, ulna = joints["radius"], joints["ulna"]
    chains = [chain((arm[0], 16.0), (arm[1], 12.5)) for arm in (radius, ulna)]
    chains.append(chain(((radius[0] + ulna[0]) / 2, 15.0), ((radius[1] + ulna[1]) / 2, 15.0)))
    for digit, (base, knuckle, *rest) in joints.items():
        if digit in ("radius", "ulna"):
            continue
        skin = ANATOMY["digits"][digit]["skin"]
        start = radius[1] if digit in ("thumb", "index", "middle") else ulna[1]
        web = knuckle + 0.3 * (rest[0] - knuckle) if digit != "thumb" else knuckle
        chains.append(chain((start, 12.5), (base, 13.0), (knuckle, 12.0), (web, 10.5)))
        outward = (rest[-1] - rest[-2]) / np.linalg.norm(rest[-1] - rest[-2])
        tip = rest[-1] - outward * (skin[-1] * build - 4.2 * size)
        chains.append(chain(*zip([knuckle, *rest[:-1], tip], skin, strict=True)))
    thumb, index = joints["thumb"], joints["index"]
    for part, thick in ((0.3, 12.0), (0.5, 11.0), (0.7, 9.0), (0.85, 7.0)):
        chains.append(
            chain((thumb[0] + part * (thumb[1] - thumb[0]), thick), (index[0] + part * (index[1] - index[0]), thick))
        )
    return chains
