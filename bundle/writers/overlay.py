"""The radiograph with its landmarks, as a picture, with what is said beside it."""

import io
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bundle.errors import BundleError
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.writers.files import made_here

Colour = tuple[int, int, int]

INK: Colour = (240, 240, 240)
FAINT = (160, 160, 165)
_OUTSIDE = (253, 200, 90)  # told apart by the words below the value as well, so colour alone says nothing
UNITS = {"mm": " mm", "deg": "\u00b0", "1": ""}

#: The scale of confidence, from 0 to 1 in equal steps: blue to yellow by way of green, brighter step by step, so that
#: it can be told apart without seeing red or green, and on black, grey and white.
_SCALE = np.array([(92, 110, 214), (45, 160, 205), (45, 192, 150), (150, 215, 65), (253, 231, 37)], dtype=np.float64)
#: Below this confidence, a landmark is a ring.
LOW_CONFIDENCE = 0.5

_DARK = (12, 12, 14)
_MAX_SIDE = 1200  # of the picture, key and measurements included
_MIN_SIDE = 640  # a smaller radiograph is enlarged, so that the names find room
_RADIUS = 5.0  # of a mark
_TEXT = 15  # height of the letters
_LINE, _MARGIN = 20, 10  # from line to line of the measurements, and around them
_KEY = 36  # height of the key below the radiograph
_FINE = 4  # marks are drawn this many times larger and averaged down, for smooth edges

#: Above so many landmarks, names would cover the picture.
_MAX_LABELS = 300

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


def short_names(prediction: LandmarkPrediction) -> list[str]:
    """What stands beside each landmark on the picture; nothing where there are so many that it would be covered."""
    return [] if len(prediction.names) > _MAX_LABELS else abbreviations(prediction.names)


def panel_lines(prediction: LandmarkPrediction) -> list[Line]:
    """What the column says, line by line.

    Args:
        prediction: the landmarks of one image.

    Returns:
        What there is to say of the image's pose. For each measurement a line with its value and uncertainty, and one
        with its class, or else with where it lies beside its normal range; a measurement without a value says why.
        Then, where the labels are short forms, the name of each landmark with its expected error.
    """
    pose, labels = prediction.pose.words(), short_names(prediction)
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


def confidence_colours(confidence: np.ndarray) -> np.ndarray:
    """The colours of confidences.

    Args:
        confidence: 0 to 1, of any shape; a value outside counts as the nearer end, NaN as 0.

    Returns:
        (..., 3), red, green and blue, 0 to 255.
    """
    value = np.clip(np.nan_to_num(confidence), 0.0, 1.0) * (len(_SCALE) - 1)
    channels = [np.interp(value, np.arange(len(_SCALE)), channel) for channel in _SCALE.T]
    return np.stack(channels, axis=-1).round().astype(int)


def overlay_png(prediction: LandmarkPrediction, pixels: np.ndarray) -> bytes:
    """The content of ``<image_id>.png``; arguments and errors are those of :func:`draw_overlay`."""
    with io.BytesIO() as file:
        draw_overlay(prediction, pixels).save(file, format="PNG", compress_level=1, pnginfo=made_here())
        return file.getvalue()


def draw_overlay(prediction: LandmarkPrediction, pixels: np.ndarray) -> Image.Image:
    """Draw the picture of one image without writing it; arguments and errors are those of :func:`overlay_png`.

    Returns:
        The picture, RGB: the radiograph from the upper left corner on, the key below it, the measurements to the right.
    """
    if pixels.shape != (prediction.height, prediction.width):
        raise BundleError(
            f"the pixels of {prediction.image_id} have the shape {pixels.shape}, but the landmarks belong to an "
            f"image of shape {(prediction.height, prediction.width)}: give the pixels of the same image."
        )
    lines = panel_lines(prediction)
    indent, width = _column(lines)
    size = _size(prediction, width)
    scale = np.array(size) / (prediction.width, prediction.height)
    grey = grey_picture(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=1.0)
    field = grey.convert("RGB")  # of its own, so that no mark runs over the key
    points = (prediction.points + 0.5) * scale - 0.5
    for segment in dict.fromkeys(segment for value in prediction.measurements for segment in value.segments):
        _paint(field, points[list(segment)], INK, 0.75, 0.75)
    labels = place_labels(short_names(prediction), points, size)
    for i in np.argsort(-np.nan_to_num(prediction.confidence), kind="stable"):
        _mark(field, points[i], prediction.confidence[i])
    pen = ImageDraw.Draw(field)
    for text, (left, top, _, bottom) in labels:
        place = (left + 2, (top + bottom) / 2)
        pen.text(place, text, fill=INK, font=_font(), anchor="lm", stroke_width=2, stroke_fill=_DARK)
    picture = Image.new("RGB", (size[0] + width, size[1] + _KEY), _DARK)
    picture.paste(field, (0, 0))
    pen, room = ImageDraw.Draw(picture), max(1, (size[1] - 2 * _MARGIN) // _LINE)
    if len(lines) > room:
        lines = [*lines[: room - 1], Line("", f"{len(lines) - room + 1} more lines", FAINT)]
    for top, line in zip(range(_MARGIN, size[1], _LINE), lines):
        for left, text, end in ((_MARGIN, line.label, indent - _MARGIN), (indent, line.text, width)):
            pen.text((size[0] + left, top), _cut(text, end - left), fill=line.colour, font=_font())
    _draw_key(picture, size, None if prediction.spacing is None else scale[0] / prediction.spacing[0])
    return picture


def _size(prediction: LandmarkPrediction, column: int) -> tuple[int, int]:
    """Columns and rows of the radiograph within the picture, beside a column of texts."""
    step_x, step_y = prediction.pixel_size
    finest = min(step_x, step_y)
    across, down = prediction.width * step_x / finest, prediction.height * step_y / finest
    room = _MAX_SIDE - column, _MAX_SIDE - _KEY
    factor = min(room[0] / across, room[1] / down, max(1.0, _MIN_SIDE / max(across, down)))
    return min(max(1, round(across * factor)), room[0]), min(max(1, round(down * factor)), room[1])


def _column(lines: Sequence[Line]) -> tuple[float, int]:
    """Where the texts of the column beside the radiograph begin, and its width, at most a third of the picture."""
    if not lines:
        return 0.0, 0
    label, text = (max(map(_font().getlength, texts)) for texts in ([x.label for x in lines], [x.text for x in lines]))
    indent = 2 * _MARGIN + min(label, _MAX_SIDE / 8)
    return indent, min(math.ceil(indent + text) + _MARGIN, _MAX_SIDE // 3)


def _cut(text: str, width: float) -> str:
    """Text that fits into a width."""
    while _font().getlength(text) > width:
        text = f"{text[:-4]}..."
    return text


def grey_picture(pixels: np.ndarray) -> Image.Image:
    """Pixels, (H, W), 0 to 1, as a picture of their size; what is not finite counts as 0."""
    grey = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0) if not np.isfinite(pixels.sum()) else pixels
    return Image.fromarray(np.clip(grey * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8))


@lru_cache(maxsize=1)
def _font() -> Any:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size=_TEXT)


def place_labels(names: Sequence[str], points: np.ndarray, size: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    """Each name with its place, a rectangle; they avoid the marks and each other."""
    _, top, _, bottom = _font().getbbox("Ag19", anchor="lt")
    height = bottom - top + 2
    inside = np.asarray(((points > -1) & (points < size)).all(axis=1))
    taken = np.concatenate([points[inside] - _RADIUS - 1, points[inside] + _RADIUS + 1], axis=1)
    # The most crowded choose first.
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    crowding = np.nansum(np.exp(-distance / (6 * _RADIUS)), axis=1)
    placed = []
    for i in np.argsort(-crowding, kind="stable"):
        if names and inside[i] and names[i]:
            rects, unwelcome = _candidates(points[i], (_font().getlength(names[i]) + 4, height), size)
            cost = _overlap(rects, taken).sum(axis=1) / height + unwelcome
            place = rects[np.argmin(cost)]
            placed.append((names[i], place))
            taken = np.concatenate([taken, place[None] + np.array([-3, 0, 3, 0])])
    return placed


def _candidates(point: np.ndarray, extent: tuple[float, float], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Places for a name around a point: rectangles (M, 4) within the picture, and how unwelcome each is, (M,)."""
    angles = np.radians([0, 180, 45, 315, 135, 225, 90, 270])
    way = np.stack([np.cos(angles), -np.sin(angles)], axis=1).round(6)
    reach = np.array([_RADIUS + 2, _RADIUS * 2.6, _RADIUS * 4.5])[:, None, None]
    half = np.array(extent) / 2
    centre = (point + way * reach + np.sign(way) * half).reshape(-1, 2)
    low = (centre - half).clip(1.0, np.maximum(1.0, np.array(size) - extent - 1))
    unwelcome = 3 * np.arange(3)[:, None] + 0.05 * np.arange(8)
    return np.concatenate([low, low + extent], axis=1), unwelcome.ravel()


def _overlap(rects: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Areas, (M, K), that the rectangles (M, 4) share with others (K, 4)."""
    low = np.maximum(rects[:, None, :2], taken[None, :, :2])
    high = np.minimum(rects[:, None, 2:], taken[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2)


def _draw_key(picture: Image.Image, size: tuple[int, int], a_mm: float | None) -> None:
    """Draw what explains the picture: a bar of length, where it is known how long a mm is, and the confidences."""
    pen, font = ImageDraw.Draw(picture), _font()
    middle, gap = size[1] + _KEY / 2, _TEXT * 0.7
    scale = np.linspace(0, 1, 6)
    start = size[0] - gap - font.getlength("1") - gap - len(scale) * 3 * _RADIUS  # of the marks
    left = start - font.getlength("confidence  0") - gap / 2
    if left < gap:
        return
    pen.text((left, middle), "confidence  0", fill=INK, font=font, anchor="lm")
    pen.text((size[0] - gap, middle), "1", fill=INK, font=font, anchor="rm")
    for place, sure in enumerate(scale):
        _mark(picture, np.array([start + (3 * place + 1.5) * _RADIUS, middle]), sure)
    if a_mm is None:
        return
    length = _round_length(min(size[0] / 5, 260) / a_mm)
    end = gap + length * a_mm
    if end + gap / 2 + font.getlength(f"{length:g} mm") < left - gap:
        for bar in ((gap, middle, end, middle), *((x, middle - 5, x, middle + 5) for x in (gap, end))):
            pen.line(bar, fill=INK, width=2)
        pen.text((end + gap / 2, middle), f"{length:g} mm", fill=INK, font=font, anchor="lm")


def _round_length(most: float) -> float:
    """The largest length of the form 1, 2 or 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


def _mark(picture: Image.Image, point: np.ndarray, confidence: float) -> None:
    """Draw the mark of a landmark: a disc with a dark rim, or a ring where its confidence is low."""
    radius, width = (_RADIUS, _RADIUS + 1) if confidence >= LOW_CONFIDENCE else (_RADIUS * 1.15, _RADIUS * 0.5)
    _paint(picture, point[None], _DARK, 0.85, width + 1.9, radius + 1.3)
    _paint(picture, point[None], tuple(confidence_colours(np.array(confidence)).tolist()), 1.0, width, radius)


def _paint(
    picture: Image.Image, points: np.ndarray, colour: Colour, opacity: float, width: float, radius: float = 0.0
) -> None:
    """Paint a ring around one point, or a line between two, with smooth edges.

    Args:
        picture: the picture.
        points: (1, 2) or (2, 2), ``(x, y)`` in its pixels, centres at integers; one that is not finite has no mark.
        colour: the colour.
        opacity: 0 to 1.
        width: of the line, or of the ring within its radius.
        radius: of the ring.
    """
    if not np.isfinite(points).all():
        return
    low = np.floor(points.min(axis=0) - radius - 2).clip(0)
    high = np.ceil(points.max(axis=0) + radius + 3).clip(max=picture.size)
    if (high <= low).any():
        return
    mask = Image.new("L", tuple(((high - low) * _FINE).astype(int).tolist()))
    pen, places = ImageDraw.Draw(mask), (points - low + 0.5) * _FINE - 0.5
    if radius:
        corners = np.concatenate([places[0] - radius * _FINE, places[0] + radius * _FINE])
        pen.ellipse(tuple(corners), outline=255, width=round(width * _FINE))
    else:
        pen.line([tuple(place) for place in places], fill=255, width=round(width * _FINE))
    mask = mask.reduce(_FINE).point([round(value * opacity) for value in range(256)])
    picture.paste(colour, tuple(low.astype(int).tolist()), mask)
