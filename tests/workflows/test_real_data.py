"""Real cephalograms, where the environment variable OSL_REAL_DATA names a folder that has them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.workflows.running import run

FOLDER = Path(os.environ.get("OSL_REAL_DATA", "")) / "isbi2015"


@pytest.mark.real_data
@pytest.mark.skipif(
    not os.environ.get("OSL_REAL_DATA") or not FOLDER.is_dir(), reason="OSL_REAL_DATA does not name the cephalograms"
)
def test_cephalograms_without_training(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in ("001", "050", "150"):
        shutil.copy(FOLDER / "images" / f"{number}.jpg", tmp_path / "images")
    run(
        "evaluate",
        "head",
        template_image=FOLDER / "images" / "125.jpg",
        template_landmarks=FOLDER / "landmarks_mean.csv",
        dataset_dir=tmp_path / "images",
        landmarks=FOLDER / "landmarks_mean.csv",
        output_dir=tmp_path / "out",
    )
    report = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (report["images"], report["landmarks"]) == (3, 19)
    assert report["mre_mm"] < 4
    assert report["sdr"]["4.0"] > 60
