"""The further entries of ``metrics.json`` against numpy, with missing points and unknown spacings."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bundle.handlers.run_statistics import CURVE_RADII, run_statistics
from bundle.metrics.bootstrap import draw_images
from bundle.records.errors import ConfigError
from bundle.writers.metrics_report import SCHEMA, LandmarkErrors, build_report, format_summary
from tests.writers.test_metrics_report import RADII, random_errors


def literal_interval(values: np.ndarray, resamples: int) -> list[float]:
    """Percentiles of means over images drawn one after the other."""
    means = []
    for row in draw_images(len(values), resamples, seed=0):
        drawn = np.repeat(values, row.long().numpy(), axis=0)
        known = drawn[~np.isnan(drawn)]
        if known.size:
            means.append(known.mean())
    return list(np.quantile(means, [0.025, 0.975]))


def test_entries_equal_their_definitions() -> None:
    errors, _ = random_errors(9, 4)
    assert errors.mm is not None
    found = run_statistics(errors, RADII, failure_mm=3.0, resamples=60)
    known = errors.mm[~np.isnan(errors.mm)]
    intervals = found["intervals"]
    assert intervals["mre_mm"] == pytest.approx(literal_interval(errors.mm, 60), abs=1e-9)
    assert intervals["mre_px"] == pytest.approx(literal_interval(errors.px, 60), abs=1e-9)
    hits = np.where(np.isnan(errors.mm), np.nan, 100.0 * (errors.mm < 2.5))
    assert intervals["sdr"]["2.5"] == pytest.approx(literal_interval(hits, 60), abs=1e-9)
    assert intervals["median_mm"][0] <= np.median(known) <= intervals["median_mm"][1]
    curve = found["sdr_curve"]
    assert curve["percent"] == pytest.approx([100 * (known < r).mean() for r in CURVE_RADII], abs=1e-9)
    failures = found["failures"]
    assert failures["points"] == (known > 3).sum() == len(failures["worst"])
    assert failures["percent"] == pytest.approx(100 * (known > 3).mean(), abs=1e-9)
    assert [row["error_mm"] for row in failures["worst"]] == sorted(known[known > 3], reverse=True)
    one = found["per_landmark"][2]
    assert one["max_mm"] == np.nanmax(errors.mm[:, 2])
    assert one["intervals"]["mre_mm"] == pytest.approx(literal_interval(errors.mm[:, 2:3], 60), abs=1e-9)


def test_they_go_into_the_report_beside_what_was_there() -> None:
    errors, _ = random_errors(9, 4)
    plain = build_report(errors, RADII)
    full = build_report(errors, RADII, statistics=run_statistics(errors, RADII, resamples=50))
    assert full["schema"] == SCHEMA
    assert {key: full[key] for key in plain if key != "per_landmark"} == {
        key: value for key, value in plain.items() if key != "per_landmark"
    }
    for before, after in zip(plain["per_landmark"], full["per_landmark"]):
        assert before.items() <= after.items() and len(after["intervals"]["mre_mm"]) == 2
    assert "bootstrap interval" in format_summary(json.loads(json.dumps(full, allow_nan=False)))


@pytest.mark.parametrize("mm", [None, np.array([[math.inf, 1.0], [2.0, math.nan]])])
def test_unknown_and_infinite_values_become_null(mm: np.ndarray | None) -> None:
    px = np.array([[math.inf, 1.0], [2.0, math.nan]])
    errors = LandmarkErrors(("a", "b"), ("1", "2"), px, mm)
    report = build_report(errors, RADII, statistics=run_statistics(errors, RADII, resamples=20))
    text = json.dumps(report, allow_nan=False)
    assert "nan" not in text.lower()
    format_summary(report)
    if mm is None:
        assert report["intervals"]["mre_mm"] == [None, None] and report["failures"]["percent"] is None
    else:
        assert report["failures"]["worst"] == [{"image": "a", "landmark": "1", "error_mm": None}]


def test_no_image() -> None:
    errors = LandmarkErrors((), ("1", "2"), np.zeros((0, 2)), np.zeros((0, 2)))
    report = build_report(errors, RADII, statistics=run_statistics(errors, RADII, resamples=20))
    assert report["intervals"]["mre_mm"] == [None, None] and report["per_landmark"][0]["max_mm"] is None


@pytest.mark.parametrize("settings", [{"failure_mm": 0.0}, {"failure_mm": math.nan}, {"resamples": 0}])
def test_senseless_settings(settings: dict[str, float]) -> None:
    errors, _ = random_errors(3, 2)
    with pytest.raises(ConfigError, match="expected"):
        run_statistics(errors, RADII, **settings)
