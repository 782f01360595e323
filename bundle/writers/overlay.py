"""The radiograph with its landmarks, as a picture."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bundle.records.errors import BundleError
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.atomic import atomic_file
from bundle.writers.measurement_panel import draw_panel, panel_width
from bundle.writers.naming import output_path

#: The scale of confidence, from 0 to 1 in equal steps: blue to yellow by way of green, brighter step by step, so that
#: it can be told apart without seeing red or green, and on black, grey and white.
_SCALE = np.array([(92, 110, 214), (45, 160, 205), (45, 192, 150), (150, 215, 65), (253, 231, 37)], dtype=np.float64)

_TRUE_COLOUR = (255, 110, 200)
_INK = (240, 240, 240)
_DARK = (12, 12, 14)
_FINE = 4  # marks are drawn this many times larger and averaged down, for smooth edges

#: Above so many landmarks, names would cover the picture.
_MAX_LABELS = 300
_MAX_NAME = 14

_Rect = tuple[float, float, float, float]


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


class OverlayWriter:
    """Writes ``<image_id>.png``: the radiograph, its landmarks in the colour of their confidence, and a key below.

    A landmark is a disc, or a ring where its confidence is low. True landmarks, where given, are crosses, joined to
    the landmarks found by lines. Below the picture stand a bar of length, where the spacing is known, and the key.
    Pixels that are not square are shown with their true proportions. Where something was measured, thin lines show
    what, and a column to the right of the radiograph gives the values.

    Args:
        folder: the folder of the results.
        max_side: longest side of the picture in pixels, the key included.
        min_side: a smaller radiograph is enlarged to this longest side, so that the names find room.
        labels: ``"names"``, ``"numbers"`` (1 to N in the template's order), ``"none"``, or ``"auto"``: names where they
            are short and in Latin letters, else numbers.
        low_confidence: below it, a landmark is a ring.

    Raises:
        BundleError: when a setting is out of range.
    """

    def __init__(
        self,
        folder: Path | str,
        max_side: int = 1200,
        min_side: int = 640,
        labels: str = "auto",
        low_confidence: float = 0.5,
    ) -> None:
        if labels not in ("auto", "names", "numbers", "none"):
            raise BundleError(f"labels is {labels!r}, but must be 'auto', 'names', 'numbers' or 'none': choose one.")
        if not 200 <= min_side <= max_side:
            raise BundleError(
                f"min_side {min_side} and max_side {max_side} must be 200 <= min_side <= max_side: correct them."
            )
        self.folder = Path(folder)
        self.max_side = max_side
        self.min_side = min_side
        self.labels = labels
        self.low_confidence = low_confidence

    def __call__(self, prediction: LandmarkPrediction, pixels: np.ndarray, truth: LandmarkSet | None = None) -> Path:
        """Write the picture of one image.

        Args:
            prediction: the landmarks of one image.
            pixels: array of shape (H, W), 0 to 1, the image at full resolution.
            truth: the true landmarks, matched by name; None where not known.

        Returns:
            The file.

        Raises:
            BundleError: when the image id cannot be a file name, the shape is not that of the prediction, or the file
                cannot be written.
        """
        path = output_path(self.folder, prediction.image_id, ".png")
        picture = self.draw(prediction, pixels, truth)
        with atomic_file(path, binary=True) as file:
            picture.save(file, format="PNG", compress_level=1)
        return path

    def scale(self, prediction: LandmarkPrediction) -> tuple[float, float]:
        """How the picture is scaled.

        Args:
            prediction: the landmarks of one image, with its size and spacing.

        Returns:
            ``(fx, fy)``: the point ``(x, y)`` of the image is drawn at
            ``((x + 0.5) * fx - 0.5, (y + 0.5) * fy - 0.5)``.
        """
        across, down = self._size(prediction)
        return across / prediction.width, down / prediction.height

    def draw(self, prediction: LandmarkPrediction, pixels: np.ndarray, truth: LandmarkSet | None = None) -> Image.Image:
        """Draw the picture of one image without writing it (see :meth:`__call__`).

        Args:
            prediction: the landmarks of one image.
            pixels: array of shape (H, W), 0 to 1.
            truth: the true landmarks, matched by name; None where not known.

        Returns:
            The picture, RGB: the radiograph from the upper left corner on, the key below it, the measurements to the
            right.

        Raises:
            BundleError: when the shape of the pixels is not that of the prediction.
        """
        if pixels.shape != (prediction.height, prediction.width):
            raise BundleError(
                f"the pixels of {prediction.image_id} have the shape {pixels.shape}, but the landmarks belong to an "
                f"image of shape {(prediction.height, prediction.width)}: give the pixels of the same image."
            )
        size = self._size(prediction)
        footer = self._footer()
        panel = self._panel(prediction)
        picture = Image.new("RGB", (size[0] + panel, size[1] + footer), _DARK)
        picture.paste(_shrink(pixels, size), (0, 0))
        scale = self.scale(prediction)
        points = _to_picture(prediction.points, scale)
        true_points = np.full_like(points, np.nan)
        if truth is not None:
            by_name = dict(zip(truth.names, truth.points))
            rows = [by_name.get(name, (np.nan, np.nan)) for name in prediction.names]
            true_points = _to_picture(np.asarray(rows, dtype=np.float64), scale)
        radius = self._radius()
        # The radiograph is a picture of its own, so that no mark runs over the key.
        field = picture.crop((0, 0, *size))
        segments = dict.fromkeys(segment for value in prediction.measurements for segment in value.segments)
        for start, end in segments:
            if np.isfinite(points[[start, end]]).all():
                _line(field, tuple(points[start]), tuple(points[end]), _INK, radius * 0.16, halo=False)
        for (x, y), (true_x, true_y) in zip(points, true_points):
            if np.isfinite([x, y, true_x, true_y]).all():
                _line(field, (x, y), (true_x, true_y), _TRUE_COLOUR, radius * 0.3)
        labels = self._labels(prediction, points, true_points, size)
        for _, rect, point, leads in labels:
            if leads:
                _line(field, point, _nearest(rect, point), _INK, radius * 0.16, halo=False)
        for x, y in true_points:
            if np.isfinite([x, y]).all():
                _cross(field, (x, y), radius * 0.8)
        for i in np.argsort(-np.nan_to_num(prediction.confidence), kind="stable"):
            if np.isfinite(points[i]).all():
                sure = float(prediction.confidence[i])
                _disc(
                    field,
                    (points[i, 0], points[i, 1]),
                    radius,
                    tuple(confidence_colours(np.array(sure)).tolist()),
                    not sure >= self.low_confidence,
                )
        pen = ImageDraw.Draw(field)
        for text, (left, top, _, bottom), _, _ in labels:
            pen.text(
                (left + 2, (top + bottom) / 2),
                text,
                fill=_INK,
                font=_font(self._text()),
                anchor="lm",
                stroke_width=2,
                stroke_fill=_DARK,
            )
        picture.paste(field, (0, 0))
        if panel:
            letters = self._text()
            line, margin = round(letters * 1.35), round(letters * 0.7)
            draw_panel(picture, (size[0], 0), size[1], prediction.measurements, _font(letters), line, margin)
        self._key(picture, size, prediction, bool(np.isfinite(true_points).all(axis=1).any()))
        return picture

    def _size(self, prediction: LandmarkPrediction) -> tuple[int, int]:
        """Columns and rows of the radiograph within the picture."""
        step_x, step_y = prediction.spacing or (1.0, 1.0)
        finest = min(step_x, step_y)
        across, down = prediction.width * step_x / finest, prediction.height * step_y / finest
        room = self.max_side - self._panel(prediction), self.max_side - self._footer()
        factor = min(room[0] / across, room[1] / down, max(1.0, self.min_side / max(across, down)))
        columns, rows = round(across * factor), round(down * factor)
        return min(max(1, columns), room[0]), min(max(1, rows), room[1])

    def _panel(self, prediction: LandmarkPrediction) -> int:
        """Width of the column of measurements, at most a third of the picture."""
        text = self._text()
        return min(panel_width(prediction.measurements, _font(text), round(text * 0.7)), self.max_side // 3)

    def _radius(self) -> float:
        """Radius of a mark."""
        return max(4.0, self.max_side / 240)

    def _text(self) -> int:
        """Height of the letters."""
        return max(11, round(self.max_side / 80))

    def _footer(self) -> int:
        """Height of the key below the radiograph."""
        return round(self._text() * 2.4)

    def _names(self, prediction: LandmarkPrediction) -> list[str]:
        """What is written beside each landmark."""
        count = len(prediction.names)
        if self.labels == "none" or count > _MAX_LABELS:
            return [""] * count
        short = all(len(name) <= _MAX_NAME and name.isprintable() and _latin(name) for name in prediction.names)
        if self.labels == "names" or (self.labels == "auto" and short):
            names = [" ".join(name.split()) for name in prediction.names]
            return [name[:40] if _latin(name) else str(i + 1) for i, name in enumerate(names)]
        return [str(i + 1) for i in range(count)]

    def _labels(
        self, prediction: LandmarkPrediction, points: np.ndarray, true_points: np.ndarray, size: tuple[int, int]
    ) -> list[tuple[str, _Rect, tuple[float, float], bool]]:
        """Text, place, landmark and whether a line leads there, for each name; they avoid the marks and each other."""
        texts = self._names(prediction)
        if not any(texts):
            return []
        inside: np.ndarray = np.all((points > -1) & (points < np.asarray(size)), axis=1)
        font, radius = _font(self._text()), self._radius()
        height = _letter_height(self._text()) + 2
        marks = np.concatenate([points[inside], true_points[np.isfinite(true_points).all(axis=1)]])
        taken = np.column_stack([marks - radius - 1, marks + radius + 1])
        # The most crowded choose first.
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        crowding = np.nansum(np.exp(-distance / (6 * radius)), axis=1)
        placed: list[tuple[str, _Rect, tuple[float, float], bool]] = []
        for i in np.argsort(-crowding, kind="stable"):
            if not inside[i] or not texts[i]:
                continue
            width = float(font.getlength(texts[i])) + 4
            rects, near = _candidates(points[i], width, height, radius, size)
            cost = _overlap(rects, taken).sum(axis=1) / height + near
            best = int(np.argmin(cost))
            left, top, right, bottom = (float(v) for v in rects[best])
            placed.append((texts[i], (left, top, right, bottom), (points[i, 0], points[i, 1]), bool(near[best] >= 3)))
            taken = np.concatenate([taken, [(left - 3, top, right + 3, bottom)]])
        return placed

    def _key(self, picture: Image.Image, size: tuple[int, int], prediction: LandmarkPrediction, true: bool) -> None:
        """Draw what explains the picture: a bar of length, the scale of confidence, the sign of true landmarks."""
        text, radius = self._text(), self._radius()
        font = _font(text)
        pen = ImageDraw.Draw(picture)
        middle = size[1] + self._footer() / 2
        gap = text * 0.7
        right = size[0] - gap
        number = font.getlength("1")
        for kind in ("confidence", "true") if true else ("confidence",):
            caption = "true landmark" if kind == "true" else "confidence  0"
            bar = text * 6.0
            width = font.getlength(caption) + (2 * radius + gap if kind == "true" else bar + number + gap)
            if right - width < gap:
                return
            left = right - width
            if kind == "true":
                _cross(picture, (left + radius, middle), radius * 0.8)
                pen.text((left + 2 * radius + gap / 2, middle), caption, fill=_INK, font=font, anchor="lm")
            else:
                pen.text((left, middle), caption, fill=_INK, font=font, anchor="lm")
                start = left + font.getlength(caption) + gap / 2
                _gradient(picture, start, middle, bar, radius, self.low_confidence)
                pen.text((right, middle), "1", fill=_INK, font=font, anchor="rm")
            right = left - 2 * gap
        if prediction.spacing is not None:
            a_mm = self.scale(prediction)[0] / prediction.spacing[0]
            length = _round_length(min(size[0] / 5, 260) / a_mm)
            caption = f"{length:g} mm"
            end = gap + length * a_mm
            if end + gap / 2 + font.getlength(caption) < right:
                rail = max(1, round(text / 8))
                pen.line((gap, middle, end, middle), fill=_INK, width=rail)
                for x in (gap, end):
                    pen.line((x, middle - text * 0.35, x, middle + text * 0.35), fill=_INK, width=rail)
                pen.text((end + gap / 2, middle), caption, fill=_INK, font=font, anchor="lm")


def _to_picture(points: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Pixels of the image, (N, 2), to pixels of the picture; both have the centres at integers."""
    return (points + 0.5) * np.asarray(scale) - 0.5


def _shrink(pixels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The pixels as a grey picture of the given columns and rows, averaged where it is smaller."""
    grey = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0) if not np.isfinite(pixels.sum()) else pixels
    grey = np.clip(grey * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    image = Image.fromarray(grey)
    across, down = max(1, image.width // size[0]), max(1, image.height // size[1])
    if max(across, down) > 1:
        # A last block that is not whole counts as its share of a block.
        box = (0.0, 0.0, image.width / across, image.height / down)
        return image.reduce((across, down)).resize(size, Image.Resampling.BICUBIC, box=box)
    return image.resize(size, Image.Resampling.BICUBIC)


@lru_cache(maxsize=16)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size=height)


@lru_cache(maxsize=16)
def _letter_height(height: int) -> float:
    """Height of a line of the font from the top of the capitals to the end of the descenders."""
    _, top, _, bottom = _font(height).getbbox("Ag19", anchor="lt")
    return float(bottom - top)


def _latin(text: str) -> bool:
    """Whether the font has the letters."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _nearest(rect: _Rect, point: tuple[float, float]) -> tuple[float, float]:
    """The point of a rectangle nearest to another."""
    return min(max(point[0], rect[0]), rect[2]), min(max(point[1], rect[1]), rect[3])


def _candidates(
    point: np.ndarray, width: float, height: float, radius: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places for a name around a point: rectangles (M, 4) within the picture, and how unwelcome each is, (M,)."""
    rects, unwelcome = [], []
    for ring, reach in enumerate((radius + 2, radius * 2.6, radius * 4.5, radius * 7)):
        for order, angle in enumerate((0, 180, 45, 315, 135, 225, 90, 270)):
            across, down = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
            centre_x = point[0] + across * reach + np.sign(round(across, 6)) * width / 2
            centre_y = point[1] + down * reach + np.sign(round(down, 6)) * height / 2
            left = min(max(centre_x - width / 2, 1.0), max(1.0, size[0] - width - 1))
            top = min(max(centre_y - height / 2, 1.0), max(1.0, size[1] - height - 1))
            rects.append((left, top, left + width, top + height))
            unwelcome.append(ring * 3 + order * 0.05)
    return np.array(rects), np.array(unwelcome)


def _overlap(rects: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Areas, (M, K), that the rectangles (M, 4) share with others (K, 4)."""
    low = np.maximum(rects[:, None, :2], taken[None, :, :2])
    high = np.minimum(rects[:, None, 2:], taken[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2)


def _round_length(most: float) -> float:
    """The largest length of the form 1, 2 or 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


class _Fine:
    """A small piece of a picture on which marks are drawn with smooth edges.

    Args:
        picture: the picture to draw on.
        rect: the piece as left, top, right, bottom in pixels of the picture, centres at integers.
    """

    def __init__(self, picture: Image.Image, rect: _Rect) -> None:
        self.picture = picture
        left, top = max(0, math.floor(rect[0])), max(0, math.floor(rect[1]))
        right, bottom = min(picture.width, math.ceil(rect[2]) + 1), min(picture.height, math.ceil(rect[3]) + 1)
        self.origin = left, top
        self.size = max(0, right - left), max(0, bottom - top)
        self.empty = 0 in self.size
        mask_size = (max(1, self.size[0] * _FINE), max(1, self.size[1] * _FINE))
        self.mask = Image.new("L", mask_size)
        self.pen = ImageDraw.Draw(self.mask)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture on the enlarged piece."""
        return (x - self.origin[0] + 0.5) * _FINE - 0.5, (y - self.origin[1] + 0.5) * _FINE - 0.5

    def circle(self, x: float, y: float, radius: float, value: int) -> None:
        """Fill a circle: 255 for ink, 0 for none."""
        across, down = self.at(x, y)
        reach = radius * _FINE
        self.pen.ellipse((across - reach, down - reach, across + reach, down + reach), fill=value)

    def line(self, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
        """Draw a line."""
        self.pen.line((*self.at(*start), *self.at(*end)), fill=255, width=max(1, round(width * _FINE)))

    def ink(self, colour: tuple[int, int, int], opacity: float = 1.0) -> None:
        """Bring what was drawn to the picture in one colour, and start anew."""
        if self.empty:
            return
        mask = self.mask.reduce(_FINE)
        if opacity < 1:
            mask = mask.point([round(value * opacity) for value in range(256)])
        self.picture.paste(colour, (*self.origin, self.origin[0] + mask.width, self.origin[1] + mask.height), mask)
        self.mask.paste(0, (0, 0, *self.mask.size))


def _around(*points: tuple[float, float], reach: float) -> _Rect:
    """The rectangle that holds points and what lies within reach of them."""
    xs, ys = zip(*points)
    return min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach


def _disc(
    picture: Image.Image, point: tuple[float, float], radius: float, colour: tuple[int, int, int], hollow: bool
) -> None:
    """Draw the mark of a landmark: a disc with a dark rim, or a ring."""
    piece = _Fine(picture, _around(point, reach=radius + 4))
    outer, inner = (radius * 1.15, radius * 0.65) if hollow else (radius, 0.0)
    piece.circle(*point, outer + 1.3, 255)
    if hollow:
        piece.circle(*point, inner - 0.6, 0)
    piece.ink(_DARK, 0.85)
    piece.circle(*point, outer, 255)
    if hollow:
        piece.circle(*point, inner, 0)
    piece.ink(colour)


def _cross(picture: Image.Image, point: tuple[float, float], reach: float) -> None:
    """Draw the mark of a true landmark: a diagonal cross with a dark rim."""
    piece = _Fine(picture, _around(point, reach=reach + 3))
    x, y = point
    for width, colour, longer in ((reach * 0.95, _DARK, 1.0), (reach * 0.42, _TRUE_COLOUR, 0.0)):
        arm = reach + longer
        piece.line((x - arm, y - arm), (x + arm, y + arm), width)
        piece.line((x - arm, y + arm), (x + arm, y - arm), width)
        piece.ink(colour)


def _line(
    picture: Image.Image,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: tuple[int, int, int],
    width: float,
    halo: bool = True,
) -> None:
    """Draw a line, with a dark rim where wanted."""
    piece = _Fine(picture, _around(start, end, reach=width + 2))
    if halo:
        piece.line(start, end, width + 1.6)
        piece.ink(_DARK, 0.7)
    piece.line(start, end, width)
    piece.ink(colour, 1.0 if halo else 0.75)


def _gradient(picture: Image.Image, left: float, middle: float, length: float, radius: float, low: float) -> None:
    """Draw the scale of confidence as a row of marks, each as a landmark of that confidence looks."""
    count = 6
    for i in range(count):
        sure = i / (count - 1)
        x = left + 1.2 * radius + (length - 2.4 * radius) * sure
        _disc(picture, (x, middle), radius, tuple(confidence_colours(np.array(sure)).tolist()), sure < low)
