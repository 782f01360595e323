"""The script as its users run it."""

import csv
import shutil
from pathlib import Path

import pytest

from scripts.choose_template import main
from tests.conftest import Sample


def test_a_ranking_of_all_readable_images(sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "images"
    shutil.copytree(sample.images, folder)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ["--dataset_dir", str(folder), "--output", str(tmp_path / "deep" / "ranking.csv")]
    assert main(arguments) == 0
    told = capsys.readouterr()
    rows = list(csv.reader((tmp_path / "deep" / "ranking.csv").open(encoding="utf-8")))
    assert rows[0] == ["rank", "image", "deformation_percent"]
    assert sorted(row[1] for row in rows[1:]) == ["phantom_001", "phantom_002", "phantom_003"]
    values = [float(row[2]) for row in rows[1:]]
    assert values == sorted(values) and 0 < values[0] < 10
    assert rows[1][1] in told.out and "broken.png" in told.err
    assert main(arguments) == 0
    assert list(csv.reader((tmp_path / "deep" / "ranking.csv").open(encoding="utf-8"))) == rows
    capsys.readouterr()

    # A file stands where the folder should be.
    assert main([*arguments[:3], str(folder / "broken.png" / "ranking.csv")]) == 2
    told = capsys.readouterr()
    assert rows[1][1] in told.out and "cannot be written" in told.err


def test_the_next_image(sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dataset_dir", str(sample.images), "--output", str(tmp_path / "next.csv"), "--annotated"]
    assert main([*arguments, "phantom_002"]) == 0
    assert "gain of similarity" in capsys.readouterr().out
    rows = list(csv.reader((tmp_path / "next.csv").open(encoding="utf-8")))
    assert rows[0] == ["rank", "image", "gain"]
    assert sorted(row[1] for row in rows[1:]) == ["phantom_001", "phantom_003"]
    assert float(rows[1][2]) >= float(rows[2][2]) >= 0
    assert main([*arguments, "phantom_009"]) == 2
    assert "--annotated names phantom_009" in capsys.readouterr().err


def test_too_few_images(sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset_dir", str(sample.image)]) == 2
    assert "1 readable image(s), expected at least 3" in capsys.readouterr().err
    assert main(["--dataset_dir", str(sample.images), "--compared", "0"]) == 2
    assert "--compared is 0" in capsys.readouterr().err
    assert main(["--dataset_dir", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
