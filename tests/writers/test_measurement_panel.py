from __future__ import annotations

import math

from PIL import Image, ImageFont

from bundle.records.measured_value import MeasuredValue
from bundle.writers.measurement_panel import draw_panel, panel_lines, panel_width

VALUES = (
    MeasuredValue("ANB", "t", "deg", 3.2123, 0.71, (3.2, 5.7), "class I"),
    MeasuredValue("MW", "t", "mm", -2.0, math.nan, (2.0, None)),
    MeasuredValue("FHI", "t", "1", 0.65432, normal_range=(None, 0.6), decimals=3),
    MeasuredValue("骨", "t", "mm", math.nan, note="landmark 骨 is missing"),
)


def test_what_the_column_says() -> None:
    assert [text for text, _ in panel_lines(VALUES)] == [
        "ANB  3.2° ± 0.7",
        "   class I",
        "MW  -2.0 mm",
        "   below normal",
        "FHI  0.654",
        "   above normal",
        "?  -",
        "   landmark ? is missing",
    ]


def test_colour_tells_what_is_not_normal() -> None:
    colours = [colour for _, colour in panel_lines(VALUES)]
    assert colours[0] != colours[2] == colours[4]


def test_nothing_measured_takes_no_room() -> None:
    assert panel_width((), ImageFont.load_default(size=12), 5) == 0


def test_lines_that_find_no_room_are_counted() -> None:
    font = ImageFont.load_default(size=12)
    few, all_lines = Image.new("L", (200, 200)).convert("RGB"), Image.new("RGB", (200, 200))
    draw_panel(few, (0, 0), 50, VALUES, font, 16, 1)
    draw_panel(all_lines, (0, 0), 200, VALUES, font, 16, 1)
    assert few.crop((0, 50, 200, 200)).getbbox() is None
    assert few.getbbox() and all_lines.getbbox()[3] > 100
