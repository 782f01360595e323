from __future__ import annotations

import math

from bundle.records.measured_value import MeasuredValue
from bundle.writers.measurement_panel import panel_lines

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
