from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data.load_radiograph import check_flip, mirror
from bundle.errors import ConfigError
from bundle.records.radiograph import Radiograph


def radiograph(laterality: str | None = None, rows_towards: str | None = None) -> Radiograph:
    return Radiograph(np.zeros((40, 40), np.float32), Path("a"), laterality=laterality, rows_towards=rows_towards)


@pytest.mark.parametrize(
    ("setting", "said"),
    [(None, "no"), (False, "no"), (True, "yes"), ("horizontal", "yes"), ("auto", "auto"), ("refuse", "refuse")],
)
def test_the_same_for_all_images(setting: Any, said: str) -> None:
    flip = check_flip(setting)
    assert mirror(flip, radiograph()) == mirror(flip, radiograph("L", "P")) == said


@pytest.mark.parametrize(
    ("setting", "laterality", "rows_towards", "said"),
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
def test_by_the_header(setting: Any, laterality: str | None, rows_towards: str | None, said: str) -> None:
    assert mirror(check_flip(setting), radiograph(laterality, rows_towards)) == said


@pytest.mark.parametrize(
    "setting",
    [
        *("vertical", "yes", 1, 0, [], {}, {"laterality": "B"}, {"laterality": "LR"}, {"laterality": ["L"]}),
        *({"side": "L"}, {"rows_towards": "X"}, {"rows_towards": None}, {"laterality": "L", "rows_towards": "P"}),
    ],
)
def test_anything_else_is_refused(setting: Any) -> None:
    with pytest.raises(ConfigError, match=r"^flip is .*: choose one\.$"):
        check_flip(setting)
