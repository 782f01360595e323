"""What is drawn lies where the numbers say."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageColor

from bundle.metrics.error_summary import detection_rate
from bundle.report.figures import (
    DARK,
    LIGHT,
    ReportFigure,
    as_svg,
    box_plot,
    calibration_plot,
    detection_curve,
    risk_plot,
    round_end,
)
from bundle.report.page import draw_figures
from bundle.report.shape import align, similarity
from tests.report.made_up_runs import HOSTILE, RADII, make_run, shape

NAN, INF = float("nan"), float("inf")


def svg_of(figure: ReportFigure) -> ET.Element:
    return ET.fromstring(f"<svg>{as_svg(figure)}</svg>")


def test_the_end_of_an_axis_lies_beyond_the_values() -> None:
    for value in (0.013, 0.99, 1.0, 7.3, 999.0):
        assert value * 0.999 <= round_end(value) <= 2 * value
    assert round_end(0.0) > 0


def test_every_figure_of_an_evaluation() -> None:
    keys = ["detection-curve", "risk-coverage", "landmarks", "shape"]
    assert [figure.key for figure in draw_figures(make_run(12, 5))] == keys
    calibrated = [figure.key for figure in draw_figures(make_run(12, 5, calibrated=True))]
    assert calibrated == [*keys, "calibration"]
    assert [figure.key for figure in draw_figures(make_run(6, 5, kind="inference"))] == ["landmarks", "shape"]


@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_few_images(images: int, kind: str) -> None:
    for figure in draw_figures(make_run(images, 3, kind=kind, calibrated=True)):
        svg_of(figure)
        assert figure.rows and all(len(row) == len(figure.header) for row in figure.rows)


def test_the_same_run_is_drawn_the_same() -> None:
    first, second = (draw_figures(make_run(8, 5, calibrated=True)) for _ in range(2))
    assert [as_svg(figure) for figure in first] == [as_svg(figure) for figure in second]


def test_an_unknown_spacing_is_drawn_in_pixels() -> None:
    figures = {figure.key: figure for figure in draw_figures(make_run(6, 4, spacing=None))}
    assert "px" in figures["detection-curve"].rows[0][0]
    assert figures["landmarks"].header[2] == "Median px"


def test_the_detection_curve_is_the_rate_at_each_radius() -> None:
    errors = np.array([[1.0, 2.2, 2.8, 3.5, 9.0]])
    figure = detection_curve(errors, "mm", RADII)
    assert figure is not None
    assert list(figure.rows) == [("2 mm", "20.0 %"), ("2.5 mm", "40.0 %"), ("3 mm", "60.0 %"), ("4 mm", "80.0 %")]
    curve, marked = figure.picture.axes[0].lines
    np.testing.assert_allclose(curve.get_ydata(), detection_rate(errors, curve.get_xdata()))
    assert marked.get_xydata().tolist() == [[2, 20], [2.5, 40], [3, 60], [4, 80]]


def test_boxes_are_sorted_and_landmarks_never_found_are_left_out() -> None:
    values = np.array([[1.0, 5.0, NAN, INF], [2.0, 6.0, NAN, 3.0], [3.0, 7.0, NAN, 4.0]])
    figure = box_plot(values, ("a", "b", "c", "d"), "error", "mm")
    assert figure is not None
    assert [row[:3] for row in figure.rows] == [("b", "3", "6.00"), ("d", "2", "3.50"), ("a", "3", "2.00")]
    assert [label.get_text() for label in figure.picture.axes[0].get_yticklabels()] == ["b", "d", "a"]
    low, high = figure.picture.axes[0].get_ylim()
    assert low > high, "the worst is above"


def test_many_landmarks_are_cut_in_the_chart_but_not_in_the_table() -> None:
    values = np.random.default_rng(0).gamma(2, 1, (4, 150))
    figure = box_plot(values, [f"point {i}" for i in range(150)], "error", "mm")
    assert figure is not None and len(figure.rows) == 150
    assert "60 worst of 150" in figure.caption and figure.picture.bbox.height < 1500


def test_an_error_as_expected_lies_on_the_diagonal() -> None:
    errors = np.linspace(0.5, 8, 60).reshape(10, 6)
    figure = calibration_plot(errors, errors, "mm")
    assert figure is not None
    _, cloud, curve = figure.picture.axes[0].lines
    for line in (cloud, curve):
        np.testing.assert_allclose(line.get_xdata(), line.get_ydata())
    assert "0.00 mm" in figure.caption
    assert calibration_plot(np.full((2, 2), NAN), np.ones((2, 2)), "mm") is None


def test_nothing_to_draw() -> None:
    nothing = np.full((2, 2), NAN)
    assert detection_curve(nothing, "mm", RADII) is None and risk_plot(nothing, nothing, "mm") is None


def test_text_stays_text() -> None:
    names = (HOSTILE[:14], "$x^2$", "\u65e5\u672c", "a very long name")
    (figure,) = (figure for figure in draw_figures(make_run(5, 4, names=names)) if figure.key == "landmarks")
    svg = svg_of(figure)
    assert {text.text for text in svg.iter("text")} >= set(names)
    assert "<script" not in as_svg(figure)


def test_colours_follow_the_page_and_the_policy_is_kept() -> None:
    svg = svg_of(draw_figures(make_run(12, 5))[0])
    assert not [node for node in svg.iter() if "style" in node.attrib or node.tag == "style"]
    fills = {node.get("fill") for node in svg.iter()} | {node.get("stroke") for node in svg.iter()}
    assert {"var(--accent)", "var(--muted)", "var(--grid)"} <= fills
    assert not [fill for fill in fills if fill and re.match("#", fill)], "every colour has a name"
    ids = [node.get("id") for figure in draw_figures(make_run(12, 5)) for node in svg_of(figure).iter()]
    named = [name for name in ids if name]
    assert len(set(named)) == len(named) > 5


def luminance(colour: str) -> float:
    channels = [value / 255 for value in ImageColor.getrgb(colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_the_contrast_is_that_of_wcag_aa(colours: dict[str, str]) -> None:
    def contrast(one: str, other: str) -> float:
        light, dark = sorted([luminance(colours[one]), luminance(colours[other])], reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert LIGHT.keys() == DARK.keys() and len(set(LIGHT.values())) == len(LIGHT), "a colour leads to its name"
    for ground in ("ground", "card", "raised"):
        for text in ("ink", "muted", "accent"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for line in ("accent", "second", "axis"):
        assert contrast(line, "card") >= 3.0, line


NAN = float("nan")
PLANE = np.array([1, 1j])


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


def test_a_similarity_is_found_again_though_points_are_missing() -> None:
    source, target = shape(6) @ PLANE, turned(shape(6), 0.4, 1.7, (30, -12)) @ PLANE
    source[2] = target[4] = NAN
    factor, shift = similarity(source, target)
    expected = turned(shape(6), 0.4, 1.7, (30, -12)) @ PLANE
    np.testing.assert_allclose(factor * (shape(6) @ PLANE) + shift, expected, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_common_points(count: int) -> None:
    source = np.full(4, complex(NAN, NAN))
    source[:count] = 1.0
    assert np.isnan(similarity(source, shape(4) @ PLANE)).all()
    assert np.isnan(similarity(np.ones(4, complex), shape(4) @ PLANE)).all(), "all points in one place"


def test_errors_are_turned_and_scaled_with_their_image() -> None:
    run = make_run(3, 6)
    base = shape(6)
    cases, truths = [], []
    for index, case in enumerate(run.cases):
        angle, scale = 0.3 * index, 1 + 0.5 * index
        truth = turned(base, angle, scale, (5 * index, 2))
        points = truth + turned(np.array([[2.0, 0.0]]), angle, scale, (0, 0))
        truths.append(truth)
        cases.append(replace(case, points=points))
    mean, vectors = align(cases, np.array(truths), base)
    np.testing.assert_allclose(mean, base, atol=1e-9)
    np.testing.assert_allclose(vectors, np.broadcast_to([2.0, 0.0], (3, 6, 2)), atol=1e-9)


def test_pixels_that_are_not_square() -> None:
    case = make_run(1, 6, spacing=(0.5, 1.0)).cases[0]
    # One millimetre is two columns, but one row.
    truth = shape(6) * (1.0, 0.5)
    mean, _ = align([replace(case, points=truth)], truth[None], shape(6))
    np.testing.assert_allclose(mean, shape(6), atol=1e-9)


def test_without_a_truth_the_reference_is_the_mean_shape() -> None:
    run = make_run(5, 6, kind="inference")
    _, vectors = align(run.cases, None, run.template.landmarks.points)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-9)
