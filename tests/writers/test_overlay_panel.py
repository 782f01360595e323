from __future__ import annotations

import math

import numpy as np
import pytest

from bundle.records.measured_value import MeasuredValue
from bundle.writers.overlay import abbreviations, panel_lines
from tests.writers.test_result_writers import prediction

VALUES = (
    MeasuredValue("ANB", "t", "deg", 3.2123, 0.71, (3.2, 5.7), "class I"),
    MeasuredValue("MW", "t", "mm", -2.0, math.nan, (2.0, None)),
    MeasuredValue("FHI", "t", "1", 0.65432, normal_range=(None, 0.6), decimals=3),
    MeasuredValue("骨", "t", "mm", math.nan, note="landmark 骨 is missing"),
)


def test_what_the_column_says() -> None:
    lines = panel_lines(prediction(measurements=VALUES, names=tuple("abcde")), list("abcde"))
    assert [line[:2] for line in lines] == [
        ("ANB", "3.2° ± 0.7"),
        ("", "class I"),
        ("MW", "-2.0 mm"),
        ("", "below normal"),
        ("FHI", "0.654"),
        ("", "above normal"),
        ("?", "-"),
        ("", "landmark ? is missing"),
    ]
    assert lines[0].colour != lines[2].colour == lines[4].colour, "what is not normal"


@pytest.mark.parametrize(("spacing", "error"), [((0.1, 0.1), "1.2 mm"), (None, "12 px")])
def test_short_forms_have_a_key(spacing: tuple[float, float] | None, error: str) -> None:
    found = prediction(count=2, names=("sella", "gonion"), expected_error=np.array([12.0, np.nan]), spacing=spacing)
    lines = panel_lines(found, abbreviations(found.names))
    assert [line[:2] for line in lines] == [
        ("", "landmarks, expected error"),
        ("S", f"sella  {error}"),
        ("Go", "gonion"),
    ]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["sella", "subspinale", "Incision_superius", "soft-tissue pogonion"], ["S", "A", "U1", "Pog'"]),
        (["tip", "wrist", "wrist left", "world", "W"], ["tip", "W", "WL", "Wo", "5"]),
        (["1", "2", "37"], ["1", "2", "37"]),
        (["骨", "sella"], ["1", "2"]),
        (["___", "-----"], ["___", "2"]),
    ],
)
def test_abbreviations(names: list[str], short: list[str]) -> None:
    assert abbreviations(names) == short
