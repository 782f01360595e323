from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.metrics.detection_rate import SuccessfulDetectionRateMetric
from bundle.metrics.mean_radial_error import MeanRadialErrorMetric
from bundle.records.errors import BundleError
from bundle.writers.metrics_report import LandmarkErrors, build_report, format_summary, write_report

RADII = (2.0, 2.5, 3.0, 4.0)
CONTRACT = {"mre_mm", "sdr", "images", "landmarks", "seconds_per_image", "per_landmark"}


def random_errors(images: int = 7, landmarks: int = 5, missing: float = 0.3) -> tuple[LandmarkErrors, np.ndarray]:
    """Errors whose second image has no spacing; also the points behind them, in mm."""
    rng = np.random.default_rng(images * 100 + landmarks)
    offset = rng.normal(0, 20, (images, landmarks, 2))
    offset[rng.random((images, landmarks)) < missing] = np.nan
    spacing = rng.uniform(0.05, 0.3, (images, 1, 2))
    if images > 1:
        spacing[1] = np.nan
    offset_mm = offset * spacing
    errors = LandmarkErrors(
        tuple(f"image{i}" for i in range(images)),
        tuple(f"L{i}" for i in range(landmarks)),
        np.hypot(offset[..., 0], offset[..., 1]),
        np.hypot(offset_mm[..., 0], offset_mm[..., 1]),
    )
    return errors, offset_mm


def check_literally(row: dict, px: np.ndarray, mm: np.ndarray) -> None:
    px_known = [float(error) for error in px.ravel() if not math.isnan(error)]
    known = [float(error) for error in mm.ravel() if not math.isnan(error)]
    assert row["points"] == len(px_known)
    assert row["points_mm"] == len(known)
    assert row["mre_px"] == (pytest.approx(math.fsum(px_known) / len(px_known)) if px_known else None)
    if not known:
        assert row["mre_mm"] is row["std_mm"] is row["median_mm"] is None
        assert row["sdr"] == dict.fromkeys(map(str, RADII))
        return
    mean = math.fsum(known) / len(known)
    assert row["mre_mm"] == pytest.approx(mean)
    assert row["std_mm"] == pytest.approx(math.sqrt(math.fsum((e - mean) ** 2 for e in known) / len(known)))
    middle = sorted(known)[(len(known) - 1) // 2 : len(known) // 2 + 1]
    assert row["median_mm"] == pytest.approx(sum(middle) / len(middle))
    for radius in RADII:
        assert row["sdr"][str(radius)] == pytest.approx(100 * sum(e < radius for e in known) / len(known))


@pytest.mark.parametrize(("images", "landmarks"), [(7, 5), (1, 5), (7, 1), (1, 1), (0, 3)])
def test_report_equals_the_definitions(images: int, landmarks: int) -> None:
    errors, _ = random_errors(images, landmarks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = build_report(errors, RADII)
    assert report.keys() >= CONTRACT
    assert (report["images"], report["landmarks"]) == (images, landmarks)
    assert errors.mm is not None
    check_literally(report, errors.px, errors.mm)
    assert [row["name"] for row in report["per_landmark"]] == list(errors.landmark_names)
    for index, row in enumerate(report["per_landmark"]):
        check_literally(row, errors.px[:, index], errors.mm[:, index])


def test_means_equal_the_metrics() -> None:
    errors, offset_mm = random_errors(9, 6)
    report = build_report(errors, RADII)
    mre, sdr = MeanRadialErrorMetric(), SuccessfulDetectionRateMetric(RADII)
    for metric in (mre, sdr):
        metric(torch.from_numpy(offset_mm), torch.where(torch.from_numpy(offset_mm).isnan(), math.nan, 0.0).double())
    assert report["mre_mm"] == pytest.approx(mre.aggregate().item(), rel=1e-12)
    per_landmark = [row["mre_mm"] for row in report["per_landmark"]]
    assert per_landmark == pytest.approx(mre.aggregate("mean_batch").tolist(), rel=1e-12)
    assert list(report["sdr"].values()) == pytest.approx(sdr.aggregate().tolist(), rel=1e-12)


def test_borders_are_strict() -> None:
    mm = np.array([[2.0, np.nextafter(2.0, 0), 10.0, np.nextafter(10.0, 11)]])
    report = build_report(LandmarkErrors(("a",), ("1", "2", "3", "4"), mm, mm), [2, 10])
    assert report["sdr"] == {"2.0": 25.0, "10.0": 50.0}
    assert report["failures_over_10mm_percent"] == 25.0
    assert report["max_mm"] == pytest.approx(10.0)


def test_without_spacing_everything_in_mm_is_null(tmp_path: Path) -> None:
    errors = LandmarkErrors(("a", "b"), ("L",), np.array([[3.0], [5.0]]))
    report = build_report(errors, [2.0])
    for key in ("mre_mm", "std_mm", "median_mm", "max_mm", "failures_over_10mm_percent", "seconds_per_image"):
        assert report[key] is None
    assert report["mre_px"] == 4.0
    assert report["sdr"] == {"2.0": None}
    assert (report["points"], report["points_mm"]) == (2, 0)
    _, table = write_report(tmp_path, errors, report)
    assert table.read_text() == "image,landmark,error_px,error_mm\na,L,3.0000,\nb,L,5.0000,\n"
    assert "in pixels only" in format_summary(report)


@pytest.mark.parametrize("mm", [None, np.full((2, 3), np.nan)])
def test_nothing_to_measure(mm: np.ndarray | None) -> None:
    errors = LandmarkErrors(("a", "b"), ("1", "2", "3"), np.full((2, 3), np.nan), mm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = build_report(errors)
        assert "nothing to measure" in format_summary(report)
    assert report["mre_mm"] is report["mre_px"] is None
    assert report["points"] == 0


def test_landmark_not_found_counts_as_a_failure() -> None:
    mm = np.array([[1.0], [math.inf]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = build_report(LandmarkErrors(("a", "b"), ("L",), mm, mm), [2.0], seconds_per_image=math.nan)
    assert report["sdr"] == {"2.0": 50.0}
    assert report["failures_over_10mm_percent"] == 50.0
    assert report["mre_mm"] is report["std_mm"] is report["max_mm"] is report["seconds_per_image"] is None
    json.dumps(report, allow_nan=False)


def test_files_hold_the_report_and_every_error(tmp_path: Path) -> None:
    errors, _ = random_errors(4, 3)
    report = build_report(
        errors, RADII, 0.5, images_without_truth=["x.png"], truth_without_image=iter(["y"]), failed_images=("z", "w")
    )
    json_path, csv_path = write_report(tmp_path / "new" / "out", errors, report)
    assert (json_path.name, csv_path.name) == ("metrics.json", "metrics.csv")
    assert sorted(path.name for path in json_path.parent.iterdir()) == ["metrics.csv", "metrics.json"]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON.")

    read = json.loads(json_path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == report
    assert read["seconds_per_image"] == 0.5
    assert (read["images_without_truth"], read["truth_without_image"]) == (["x.png"], ["y"])
    assert read["failed_images"] == ["z", "w"]
    assert format_summary(read) == format_summary(report)
    with csv_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["landmark"]) for row in rows] == [
        (f"image{i}", f"L{j}") for i in range(4) for j in range(3)
    ]
    for column, expected in (("error_px", errors.px), ("error_mm", errors.mm)):
        found = [float(row[column]) if row[column] else math.nan for row in rows]
        assert expected is not None
        np.testing.assert_allclose(found, expected.ravel(), atol=5.1e-5)


def test_names_cannot_harm_spreadsheets_files_or_terminals(tmp_path: Path) -> None:
    names = ("=1+1", "-x", "a,b", 'c"d', "Küste\n", "\x1b[31mred", "\udcff")
    errors = LandmarkErrors(("@image",), names, np.ones((1, 7)), np.ones((1, 7)))
    report = build_report(errors, failed_images=["\x1b[2J", "\udcff"])
    json_path, csv_path = write_report(tmp_path, errors, report)
    with csv_path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows[1:6]] == ["'=1+1", "'-x", "a,b", 'c"d', "Küste\n"]
    assert {row[0] for row in rows[1:]} == {"'@image"}
    assert json.loads(json_path.read_text(encoding="utf-8")) == report
    summary = format_summary(report)
    assert all(character.isprintable() or character == "\n" for character in summary)
    summary.encode("utf-8")


@pytest.mark.parametrize("radii", [(2.0, 2.5, 3.0, 4.0), tuple(range(1, 60)), ()])
def test_summary_fits_a_terminal(radii: tuple[float, ...]) -> None:
    errors, _ = random_errors(8, 3)
    errors = LandmarkErrors(errors.image_ids, ("A", "B" * 60, "C"), errors.px, errors.mm)
    names = [f"a rather long name of an image {i}.dcm" for i in range(12)]
    report = build_report(errors, radii, 0.1234, images_without_truth=names)
    lines = format_summary(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("8 images, 3 landmarks, ")
    assert lines[0].endswith(", 0.123 s an image")
    table = lines[2:7]
    assert table[1].startswith("all landmarks")
    assert f"{report['mre_mm']:.2f}" in table[1].split()
    assert table[3].startswith("BBBBB")
    assert len({len(line) for line in table}) == 1
    if len(radii) == 4:
        assert all(f"<{radius} mm" in table[0] for radius in radii)
        assert [float(cell) for cell in table[1].split()[-4:]] == pytest.approx(list(report["sdr"].values()), abs=0.051)
    assert any("Images without truth (12)" in line for line in lines)
    assert "and 7 more" in format_summary(report)
    assert ("In metrics.json only" in format_summary(report)) is (len(radii) > 4)


def test_refuses_shapes_that_differ() -> None:
    ok = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"px: expected shape \(1, 3\), images by landmarks, got \(2, 3\)"):
        LandmarkErrors(("a",), ("1", "2", "3"), ok)
    with pytest.raises(ValueError, match=r"mm: expected shape \(2, 3\), images by landmarks, got \(3, 2\)"):
        LandmarkErrors(("a", "b"), ("1", "2", "3"), ok, ok.T)
    with pytest.raises(ValueError, match="mm: expected NaN wherever px is NaN"):
        LandmarkErrors(("a", "b"), ("1", "2", "3"), ok * np.nan, ok)
    with pytest.raises(ValueError, match="radii: expected positive distances"):
        build_report(LandmarkErrors(("a", "b"), ("1", "2", "3"), ok), [2.0, 0.0])


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    errors, _ = random_errors(1, 1)
    with pytest.raises(BundleError, match="cannot be written"):
        write_report(tmp_path / "file", errors, build_report(errors))


def test_needs_no_torch() -> None:
    code = "import sys, bundle.writers.metrics_report; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
