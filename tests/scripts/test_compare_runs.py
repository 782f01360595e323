"""Both scripts of comparison as their users run them, on files that an evaluation writes."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import compare_runs
import numpy as np
import prepare_dataset
import pytest
import reader_agreement

from bundle.metrics.error_summary import LandmarkErrors
from bundle.writers.run_files import write_report
from tests.scripts import layouts


def evaluation(folder: Path, px: np.ndarray, spacing: float = 0.1, images: int | None = None) -> Path:
    ids = tuple(f"{chr(97 + index)}" for index in range(len(px)))[:images]
    names = tuple(str(index + 1) for index in range(px.shape[1]))
    errors = LandmarkErrors(ids, names, px[: len(ids)], px[: len(ids)] * spacing)
    write_report(folder, errors, {})
    return folder


def result(script: ModuleType, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """What a script writes."""
    output = folder / "result.json"
    assert script.main([*map(str, arguments), "--output", str(output)]) == 0
    return json.loads(output.read_text())


@pytest.fixture
def px() -> np.ndarray:
    errors = np.random.default_rng(0).gamma(2, 10, (12, 3))
    errors[2, 1] = np.nan
    return errors


def test_two_runs(px: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = evaluation(tmp_path / "1", px), evaluation(tmp_path / "2", px * 0.8, images=11)
    found = result(compare_runs, tmp_path, first, second / "metrics.csv")
    known = px[:11][~np.isnan(px[:11])]
    assert (found["all"]["images"], found["all"]["points"], found["unit"]) == (11, 32, "mm")
    assert found["all"]["difference"] == pytest.approx(-0.02 * known.mean(), abs=1e-4)
    assert found["all"]["better_images"] == 100 and found["all"]["rank_biserial"] == -1
    assert found["left_out"] == {"images": ["l"], "landmarks": []}
    said = capsys.readouterr().out
    assert "11 images, 32 points" in said and "Wilcoxon < 0.001" in said and "in one run only (images): l" in said
    assert said.splitlines()[-1].startswith("verdict: the second run is better by 0.")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"interval": (np.nan, np.nan)}, "one image says nothing"),
        ({"interval": (-0.1, 0.2)}, "no difference is shown on these 9 images, the second differs by 0.050 mm"),
        ({"difference": 0.05}, "the second run is worse by 0.050 mm on average"),
        ({"wilcoxon_p": 0.2}, "better by 0.050 mm on average .*but the tests do not agree"),
    ],
)
def test_the_verdict(figures: dict[str, Any], words: str) -> None:
    every = {"images": 9, "difference": -0.05, "interval": (-0.08, -0.02), "wilcoxon_p": 0.01, "bootstrap_p": 0.01}
    if figures.get("difference", 0) > 0:
        figures["interval"] = (0.02, 0.08)
    assert re.search(words, compare_runs.verdict({"all": {**every, **figures}, "unit": "mm"}))


def test_two_runs_in_pixels(px: np.ndarray, tmp_path: Path) -> None:
    first, second = evaluation(tmp_path / "1", px, np.nan), evaluation(tmp_path / "2", px)
    found = result(compare_runs, tmp_path, first, second)
    assert found["unit"] == "px" and found["all"]["difference"] == 0 and found["all"]["wilcoxon_p"] is None


def test_runs_that_cannot_be_compared(px: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = evaluation(tmp_path / "1", px)
    assert compare_runs.main([str(first), str(tmp_path / "none")]) == 2
    assert "error: there is no" in capsys.readouterr().err
    text = (first / "metrics.csv").read_text()
    (tmp_path / "other.csv").write_text("\n".join([text.splitlines()[0], "zz,1,1.0,1.0"]) + "\n")
    assert compare_runs.main([str(first), str(tmp_path / "other.csv")]) == 2
    assert "no image in common" in capsys.readouterr().err


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Two readers, 6 pixels apart on the first landmark and 10 on the second."""
    for reader, shift in (("ann", 0), ("bob", 1)):
        rows = [[name, 10 + 6 * shift, 20, 30 + 8 * shift, 40 + 6 * shift] for name in "abcdefghijkl"]
        layouts.write_rows(tmp_path / f"landmarks_{reader}.csv", [["image", "x1", "y1", "x2", "y2"], *rows])
    return [str(tmp_path / f"landmarks_{reader}.csv") for reader in ("ann", "bob")]


def test_readers(tables: list[str], px: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--pixel_spacing", "0.1", "--run", evaluation(tmp_path / "run", px[:, :2])]
    found = result(reader_agreement, tmp_path, "--readers", *tables, *options)
    assert found["unit"] == "mm" and found["readers"] == ["ann", "bob"] and found["images"] == 12
    assert found["between"]["ann - bob"]["mean"] == pytest.approx(0.8)
    assert found["to_mean"]["ann"]["mean"] == pytest.approx(0.4)
    assert [row["between"] for row in found["per_landmark"]] == pytest.approx([0.6, 1.0])
    assert found["run"]["points"] == 23 and found["run"]["mean_disagreement"] == pytest.approx((12 * 0.6 + 11) / 23)
    assert "ann - bob" in capsys.readouterr().out


def test_readers_without_spacing(tables: list[str], px: np.ndarray, tmp_path: Path) -> None:
    run = evaluation(tmp_path / "run", px[:, :2])
    found = result(reader_agreement, tmp_path, "--readers", *tables, "--run", run)
    assert found["unit"] == "px" and found["between"]["ann - bob"]["mean"] == 8
    assert found["run"]["mean_error"] == pytest.approx(np.nanmean(px[:, :2]), abs=1e-3)


def test_readers_of_a_prepared_data_set(tmp_path: Path) -> None:
    layouts.aariz(tmp_path / "source")
    assert (
        prepare_dataset.main(["aariz", "--source", str(tmp_path / "source"), "--output", str(tmp_path / "data")]) == 0
    )
    found = result(reader_agreement, tmp_path, "--dataset", tmp_path / "data" / "dataset.json")
    assert found["unit"] == "mm" and found["between"]["senior - junior"]["mean"] == pytest.approx(0.115)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--readers", "{0}"], "1 reader(s)"),
        (["--dataset", "{0}"], "is no prepared data set"),
        (["--dataset", "none.json"], "cannot be read"),
        (["--readers", "{0}", "{1}", "--pixel_spacing", "-1"], "-1"),
    ],
)
def test_readers_that_cannot_be_compared(
    arguments: list[str], said: str, tables: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reader_agreement.main([text.format(*tables) for text in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
