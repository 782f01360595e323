from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data.flip import parse_flip
from bundle.errors import ConfigError
from bundle.records.radiograph import Radiograph


def radiograph(laterality: str | None = None, rows_towards: str | None = None) -> Radiograph:
    return Radiograph(np.zeros((40, 40), np.float32), Path("a"), laterality=laterality, rows_towards=rows_towards)


@pytest.mark.parametrize(
    ("setting", "mirror"),
    [(None, "no"), (False, "no"), (True, "yes"), ("horizontal", "yes"), ("auto", "auto"), ("refuse", "refuse")],
)
def test_the_same_for_all_images(setting: Any, mirror: str) -> None:
    flip = parse_flip(setting)
    assert flip.mirror(radiograph()) == flip.mirror(radiograph("L", "P")) == mirror


@pytest.mark.parametrize(
    ("setting", "laterality", "rows_towards", "mirror"),
    [
        ({"laterality": "L"}, "L", None, "yes"),
        ({"laterality": "L"}, "R", "L", "no"),
        ({"laterality": "L"}, "B", None, "no"),
        ({"laterality": "R"}, None, "R", "auto"),
        ({"rows_towards": "P"}, None, "P", "yes"),
        ({"rows_towards": "P"}, "L", "PR", "yes"),
        ({"rows_towards": "P"}, None, "RP", "no"),
        ({"rows_towards": "P"}, None, "A", "no"),
        ({"rows_towards": "L"}, "L", None, "auto"),
    ],
)
def test_by_the_header(setting: Any, laterality: str | None, rows_towards: str | None, mirror: str) -> None:
    assert parse_flip(setting).mirror(radiograph(laterality, rows_towards)) == mirror


@pytest.mark.parametrize(
    "setting",
    [
        *("vertical", "yes", 1, 0, [], {}, {"laterality": "B"}, {"laterality": "LR"}, {"laterality": ["L"]}),
        *({"side": "L"}, {"rows_towards": "X"}, {"rows_towards": None}, {"laterality": "L", "rows_towards": "P"}),
    ],
)
def test_anything_else_is_refused(setting: Any) -> None:
    with pytest.raises(ConfigError, match=r"^flip is .*: choose one\.$"):
        parse_flip(setting)
