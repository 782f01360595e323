from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.data.millimetres import PointsInMillimetresd, ReferenceLength, read_reference_length
from bundle.errors import ConfigError
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template


def item(spacing: tuple[float, float], aspect: float = 1.0, **points: Any) -> dict[str, Any]:
    size = (1.0, aspect) if spacing[0] != spacing[0] else spacing
    meta = {
        "pixel_spacing": spacing,
        "pixel_size": size,
        "spacing_source": "" if spacing[0] != spacing[0] else "PixelSpacing",
    }
    image = MetaTensor(torch.zeros(1, 40, 50), meta=meta)
    return {"image": image, **{key: torch.tensor(value) for key, value in points.items()}}


LABEL = [[0.0, 0.0], [3.0, 4.0]]
PRED = [[0.0, 0.0, 0.9], [6.0, 8.0, 0.8]]


def test_an_anisotropic_spacing() -> None:
    result = PointsInMillimetresd(["label", "pred"])(item((0.5, 2.0), label=LABEL, pred=PRED))
    assert result["spacing"].tolist() == [0.5, 2.0] and result["spacing_source"] == "PixelSpacing"
    assert result["label_mm"].tolist() == [[0, 0], [1.5, 8]]
    assert result["pred_mm"].tolist() == [[0, 0], [3, 16]]
    assert result["pred"].shape == (2, 3)


def test_an_unknown_spacing() -> None:
    nan = float("nan")
    result = PointsInMillimetresd(["label", "pred"])(item((nan, nan), label=LABEL, pred=PRED))
    assert result["spacing"].isnan().all() and result["spacing_source"] == ""
    assert result["label_mm"].isnan().all() and result["pred_mm"].isnan().all()


@pytest.mark.parametrize(
    ("keys", "expected"), [(["label", "pred"], 10 / 5), (["pred", "label"], 10 / 10), (["none", "pred"], 10 / 10)]
)
def test_the_reference_length_is_measured_on_the_first_key(keys: list[str], expected: float) -> None:
    transform = PointsInMillimetresd(keys, ReferenceLength(landmarks=[0, 1], millimetres=10))
    result = transform(item((0.3, 0.3), label=LABEL, pred=PRED))
    torch.testing.assert_close(result["spacing"], torch.tensor([expected, expected]))
    assert result["spacing_source"] == "reference length"


UNKNOWN = (float("nan"), float("nan"))


@pytest.mark.parametrize(
    ("spacing", "aspect", "sides"), [((0.5, 2.0), 1.0, (1, 4)), (UNKNOWN, 1.0, (1, 1)), (UNKNOWN, 2.0, (1, 2))]
)
def test_a_reference_length_keeps_the_shape_of_the_pixels(
    spacing: tuple[float, float], aspect: float, sides: tuple[float, float]
) -> None:
    result = PointsInMillimetresd(["label"], ReferenceLength(landmarks=[0, 1], millimetres=10))(
        item(spacing, aspect=aspect, label=LABEL)
    )
    assert result["label_mm"][1].norm().item() == pytest.approx(10)
    assert (result["spacing"] / result["spacing"][0]).tolist() == pytest.approx(list(sides))


@pytest.mark.parametrize("second", [[0.0, 0.0], [float("nan"), float("nan")]])
def test_a_reference_length_that_cannot_be_measured(second: list[float]) -> None:
    transform = PointsInMillimetresd(["label"], ReferenceLength(landmarks=[0, 1], millimetres=10))
    result = transform(item((0.5, 2.0), label=[[0.0, 0.0], second, [3.0, 3.0]]))
    assert result["spacing"].isnan().all() and result["spacing_source"] == ""


def template(count: int) -> Template:
    names = tuple(f"L{index}" for index in range(count))
    return Template(np.zeros((2, 2), np.float32), LandmarkSet(names, np.zeros((count, 2))), None, "template")


def test_too_few_landmarks() -> None:
    settings = {"landmarks": [0, 2], "millimetres": 10}
    with pytest.raises(ConfigError, match=r"\[0, 2\], but there are 2 landmarks"):
        read_reference_length(settings, template(2))
    assert read_reference_length(settings, Template.absent("none was given.")) is not None, "it is told when it is used"


@pytest.mark.parametrize(
    "value",
    [
        {"landmarks": [0, 0], "millimetres": 50},
        {"landmarks": [0, -1], "millimetres": 50},
        {"landmarks": [0], "millimetres": 50},
        {"landmarks": "01", "millimetres": 50},
        {"landmarks": [0, 1.5], "millimetres": 50},
        {"landmarks": [0, 4], "millimetres": 0},
        {"landmarks": [0, 4], "millimetres": "50"},
        {"landmarks": [0, 4]},
        {"landmarks": [0, 4], "millimetres": 50, "unit": "mm"},
        {"landmarks": [0, True], "millimetres": 50},
        {"landmarks": [0, 4], "millimetres": float("inf")},
        {"landmarks": 4, "millimetres": 50},
        [0, 4, 50],
        "50",
    ],
)
def test_a_reference_length_that_cannot_be(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^reference_length.*\.$"):
        read_reference_length(value, template(8))


def test_settings() -> None:
    read = read_reference_length({"landmarks": [3, 1], "millimetres": 20}, template(4))
    assert read is not None and (read.landmarks, read.millimetres) == ((3, 1), 20.0)
    assert read_reference_length(None, template(4)) is None and read_reference_length({}, template(4)) is None
