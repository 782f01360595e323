"""What is drawn lies where the numbers say, as SVG and as pixels."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import ImageColor

from bundle.report import as_pixels, as_svg, draw_figures
from bundle.report.axes import Scale, round_numbers, round_up
from bundle.report.drawing import Box, Disc, Drawing, Label, Line
from bundle.report.figures import box_plot, calibration_plot, detection_curve_plot, risk_plot
from bundle.report.styles import DARK, LIGHT, ROLES
from bundle.report.svg import standalone
from tests.report.made_up_runs import HOSTILE, RADII, make_run

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.037, [0, 0.01, 0.02, 0.03]), (5, 5, [5])],
)
def test_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(expected)


def test_the_end_of_an_axis_lies_beyond_the_values() -> None:
    for value in (0.013, 0.99, 1.0, 7.3, 999.0):
        assert value * 0.999 <= round_up(value) <= 2 * value
    assert round_up(0.0) == round_up(NAN) == 1.0


def test_every_figure_of_an_evaluation() -> None:
    plain = [figure.key for figure in draw_figures(make_run(12, 5), RADII)]
    assert plain == ["detection-curve", "risk-coverage", "landmarks", "shape", "confidence"]
    calibrated = [figure.key for figure in draw_figures(make_run(12, 5, calibrated=True), RADII)]
    assert calibrated == ["detection-curve", "risk-coverage", "landmarks", "shape", "calibration"]
    assert [figure.key for figure in draw_figures(make_run(6, 5, kind="inference"))] == ["landmarks", "shape"]


@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_few_images(images: int, kind: str) -> None:
    for figure in draw_figures(make_run(images, 3, kind=kind, calibrated=True), RADII):
        ET.fromstring(standalone(as_svg(figure.drawing, figure.key)))
        assert figure.rows and all(len(row) == len(figure.header) for row in figure.rows)


def test_an_unknown_spacing_is_drawn_in_pixels() -> None:
    figures = {figure.key: figure for figure in draw_figures(make_run(6, 4, spacing=None), RADII)}
    assert "px" in figures["detection-curve"].rows[0][0]
    assert figures["landmarks"].header[2] == "Median px"


def test_the_detection_curve_says_the_rates_of_its_radii() -> None:
    errors = np.array([[1.0, 2.2, 2.8, 3.5, 9.0]])
    figure = detection_curve_plot(errors, "mm", RADII)
    assert figure is not None
    assert list(figure.rows) == [("2 mm", "20.0 %"), ("2.5 mm", "40.0 %"), ("3 mm", "60.0 %"), ("4 mm", "80.0 %")]
    discs = [mark for mark in figure.drawing.marks if isinstance(mark, Disc)]
    heights = [disc.y for disc in discs]
    assert np.diff(heights) == pytest.approx(np.diff(heights)[0]) and heights[0] > heights[-1], "equal steps upwards"


def test_boxes_are_sorted_and_landmarks_never_found_are_left_out() -> None:
    values = np.array([[1.0, 5.0, NAN, INF], [2.0, 6.0, NAN, 3.0], [3.0, 7.0, NAN, 4.0]])
    figure = box_plot(values, ("a", "b", "c", "d"), quantity="error", unit="mm", worst_is_high=True)
    assert figure is not None
    assert [row[:3] for row in figure.rows] == [("b", "3", "6.00"), ("d", "2", "3.50"), ("a", "3", "2.00")]
    tips = [mark.tip for mark in figure.drawing.marks if isinstance(mark, Box) and mark.tip]
    assert len(tips) == 3 and "1 not found" in tips[1]


def test_many_landmarks_are_cut_in_the_chart_but_not_in_the_table() -> None:
    values = np.random.default_rng(0).gamma(2, 1, (4, 150))
    figure = box_plot(values, [f"point {i}" for i in range(150)], quantity="error", unit="mm", worst_is_high=True)
    assert figure is not None and len(figure.rows) == 150
    assert "60 worst of 150" in figure.caption and figure.drawing.height < 1500


def test_an_error_as_expected_lies_on_the_diagonal() -> None:
    errors = np.linspace(0.5, 8, 60).reshape(10, 6)
    figure = calibration_plot(errors, errors, "mm")
    assert figure is not None
    lines = {mark.role: mark.points for mark in figure.drawing.marks if isinstance(mark, Line)}
    (x0, y0), (x1, y1) = lines["ideal"]
    along = (lines["curve"] - (x0, y0)) / (x1 - x0, y1 - y0)
    np.testing.assert_allclose(along[:, 0], along[:, 1], atol=1e-9)
    assert "0.00 mm" in figure.caption
    assert calibration_plot(np.full((2, 2), NAN), np.ones((2, 2)), "mm") is None


def test_nothing_to_draw() -> None:
    nothing = np.full((2, 2), NAN)
    assert detection_curve_plot(nothing, "mm", RADII) is None and risk_plot(nothing, nothing, "mm") is None


def test_text_is_escaped_and_ids_stay_as_they_are() -> None:
    drawing = Drawing(10, 10, HOSTILE, HOSTILE, [Label(1, 1, HOSTILE, "name"), Disc(1, 1, 1, "mean", tip=HOSTILE)])
    svg = as_svg(drawing, "name")
    root = ET.fromstring(svg)
    assert root.attrib["aria-label"] == HOSTILE and [node.text for node in root] == [HOSTILE, None]
    assert "<script" not in svg


def test_pixels_are_coloured_where_the_mark_is() -> None:
    drawing = Drawing(40, 20, "", "", [Box(10, 5, 20, 10, "bar"), Disc(5, 5, 2, "shape_point")])
    picture = as_pixels(drawing, scale=2.0)
    assert picture.shape == (40, 80, 3)
    assert tuple(picture[20, 40]) == ImageColor.getrgb(LIGHT["accent_soft"])
    assert tuple(picture[38, 78]) == ImageColor.getrgb(LIGHT["card"])
    assert tuple(picture[10, 10]) == ImageColor.getrgb(LIGHT["ink"])


def test_all_figures_can_be_pixels() -> None:
    for figure in draw_figures(make_run(8, 5, calibrated=True), RADII):
        picture = as_pixels(figure.drawing, scale=1.0)
        assert picture.dtype == np.uint8 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20, figure.key


def test_every_role_has_colours_in_light_and_dark() -> None:
    assert LIGHT.keys() == DARK.keys()
    for style in ROLES.values():
        assert {style.fill, style.stroke} - {None} <= LIGHT.keys()


def luminance(colour: str) -> float:
    channels = [value / 255 for value in ImageColor.getrgb(colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_the_contrast_is_that_of_wcag_aa(colours: dict[str, str]) -> None:
    def contrast(one: str, other: str) -> float:
        light, dark = sorted([luminance(colours[one]), luminance(colours[other])], reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for ground in ("ground", "card", "raised"):
        for text in ("ink", "muted", "accent"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for line in ("accent", "second", "axis"):
        assert contrast(line, "card") >= 3.0, line


def test_no_number_is_written_with_an_exponent() -> None:
    drawing = Drawing(10, 10, "", "", [Line(np.array([(1e-9, 2e-7), (-1e-12, 1e5)]), "curve")])
    assert not re.search(r"\de[-+]\d", as_svg(drawing, "x"))


def test_scale_keeps_values_inside() -> None:
    scale = Scale(0, 10, 100, 200)
    assert (scale.at(5), scale.at(-3), scale.at(50)) == (150, 100, 200)
