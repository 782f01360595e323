"""What stands beside the radiograph: the measurements of the image, and the key to the names on it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from bundle.records.measured_value import MeasuredValue
from bundle.records.prediction import LandmarkPrediction

Colour = tuple[int, int, int]

INK: Colour = (240, 240, 240)
FAINT = (160, 160, 165)
_OUTSIDE = (253, 200, 90)  # told apart by the words below the value as well, so colour alone says nothing
UNITS = {"mm": " mm", "deg": "\u00b0", "1": ""}

#: What cephalometry calls its landmarks for short; others get the letters that their names begin with.
_STANDARD = {
    "sella": "S",
    "nasion": "N",
    "orbitale": "Or",
    "porion": "Po",
    "subspinale": "A",
    "supramentale": "B",
    "pogonion": "Pog",
    "menton": "Me",
    "gnathion": "Gn",
    "gonion": "Go",
    "incision inferius": "L1",
    "incision superius": "U1",
    "upper lip": "UL",
    "lower lip": "LL",
    "subnasale": "Sn",
    "soft tissue pogonion": "Pog'",
    "posterior nasal spine": "PNS",
    "anterior nasal spine": "ANS",
    "articulare": "Ar",
    "basion": "Ba",
    "condylion": "Co",
}
#: A name of so many letters is written out.
_SHORT = 4


class Line(NamedTuple):
    """A line of the column: what it is about, what is said of it, and the colour of that."""

    label: str
    text: str
    colour: Colour = INK


def abbreviations(names: Sequence[str]) -> list[str]:
    """A short form of each name, no two the same; numbers in the template's order where names are not in Latin letters.

    Args:
        names: the names of the landmarks.
    """
    if not all(name.isprintable() and max(name, default="") <= "\xff" for name in names):
        return [str(number) for number in range(1, len(names) + 1)]
    found: dict[str, None] = {}  # in order, each once
    for number, name in enumerate(names, start=1):
        words = re.findall(r"[^\W_]+", name.lower())
        whole = "".join(words)
        wanted = [
            name if len(name) <= _SHORT else "",
            _STANDARD.get(" ".join(words), ""),
            "".join(word[0] for word in words).upper() if len(words) > 1 else "",
            *(whole[:end].capitalize() for end in range(1, len(whole) + 1)),
        ]
        found[next((short for short in wanted if short and short not in found), str(number))] = None
    return list(found)


def panel_lines(prediction: LandmarkPrediction, labels: Sequence[str]) -> list[Line]:
    """What the column says, line by line.

    Args:
        prediction: the landmarks of one image.
        labels: what stands beside the landmarks on the picture.

    Returns:
        What there is to say of the image's pose. For each measurement a line with its value and uncertainty, and one
        with its class, or else with where it lies beside its normal range; a measurement without a value says why.
        Then, where the labels are short forms, the name of each landmark with its expected error.
    """
    pose = prediction.pose.words()
    lines = [Line("", pose, _OUTSIDE if prediction.pose.other_kind else FAINT)] if pose else []
    lines += [line for value in prediction.measurements for line in _measurement(value)]
    if any(label != name for label, name in zip(labels, prediction.names)) and not all(map(str.isdecimal, labels)):
        errors = [expected_error(prediction, i) for i in range(len(labels))]
        told = ", expected error" if any(errors) else ""
        lines += [Line("", "")] * bool(lines) + [Line("", f"landmarks{told}", FAINT)]
        lines += [
            Line(label, f"{name}  {error}".rstrip()) for label, name, error in zip(labels, prediction.names, errors)
        ]
    return [line._replace(label=_latin(line.label), text=_latin(line.text)) for line in lines]


def expected_error(prediction: LandmarkPrediction, i: int) -> str:
    """The expected error of landmark ``i``, in mm where the spacing is known; empty where there is none."""
    error, scale = prediction.expected_error[i], prediction.mm_per_pixel
    if math.isnan(error):
        return ""
    return f"{error:.0f} px" if math.isnan(scale) else f"{error * scale:.1f} mm"


def said(value: MeasuredValue) -> tuple[str, str]:
    """A value with its uncertainty in words; and its class, where it lies beside its normal range, or why it is not."""
    if not math.isfinite(value.value):
        return "-", value.note or "no value"
    text = f"{value.value:.{value.decimals}f}{UNITS[value.unit]}"
    if math.isfinite(value.uncertainty):
        text += f" \u00b1 {value.uncertainty:.{value.decimals}f}"
    low = (value.normal_range or (None, None))[0]
    outside = "below normal" if low is not None and value.value < low else "above normal"
    return text, value.category or (outside if value.normal is False else "")


def _measurement(value: MeasuredValue) -> list[Line]:
    text, below = said(value)
    first = Line(value.name, text, _OUTSIDE if value.normal is False else INK)
    return [first, Line("", below, FAINT)] if below else [first]


def _latin(text: str) -> str:
    """Text in the letters that the font has."""
    return text.encode("latin-1", "replace").decode("latin-1")
