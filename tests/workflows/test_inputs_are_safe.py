"""A run never writes over what it reads, and never reads what a run has written."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bundle.io.landmark_files import read_landmark_table
from bundle.io.radiographs import read_radiograph
from bundle.writers.image_files import ENDINGS
from tests.conftest import Sample
from tests.workflows.running import TINY_NETWORK, refusal, run, run_command

QUICK: dict[str, Any] = {"network": TINY_NETWORK, "device": "cpu", "report": False}


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def pictures(small: Sample, tmp_path: Path) -> Path:
    """The images of the sample as PNG files in a folder of their own."""
    (tmp_path / "images").mkdir()
    for path in sorted(small.images.iterdir()):
        pixels = (read_radiograph(path).pixels * 255).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / "images" / f"{path.stem}.png")
    return tmp_path / "images"


def listed(folder: Path) -> Path:
    (folder / "list.json").write_text(json.dumps([path.name for path in sorted(folder.glob("*.png"))]))
    return folder / "list.json"


def linked(folder: Path) -> Path:
    (folder.parent / "link").symlink_to(folder)
    return folder.parent / "link"


def hard_linked(folder: Path) -> Path:
    (folder.parent / "out").mkdir()
    for path in folder.iterdir():
        os.link(path, folder.parent / "out" / path.name)
    return folder.parent / "out"


def in_capitals(folder: Path) -> Path:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.upper()))
    return folder


def named_like_a_table(folder: Path) -> Path:
    path = next(folder.iterdir()).rename(folder / "landmarks.csv")
    (folder / "list.json").write_text(json.dumps([path.name]))
    return folder / "list.json"


@pytest.mark.parametrize(
    "settings",
    [
        lambda images: {"dataset_dir": images, "output_dir": images},
        lambda images: {"dataset_dir": listed(images), "output_dir": images},
        lambda images: {"dataset_dir": next(images.iterdir()), "output_dir": images},
        lambda images: {"dataset_dir": images, "output_dir": linked(images)},
        lambda images: {"dataset_dir": images, "output_dir": hard_linked(images)},
        lambda images: {"dataset_dir": in_capitals(images), "output_dir": images},
        lambda images: {"dataset_dir": named_like_a_table(images), "output_dir": images, "writers": []},
    ],
)
def test_no_image_is_written_over(settings: Callable[[Path], dict[str, Any]], pictures: Path) -> None:
    given = settings(pictures)
    before = digests(pictures.parent)
    nothing = {
        "template_image": "nowhere.dcm",
        "template_landmarks": "nowhere.csv",
    }  # it is refused before this is read
    said = refusal(lambda: run("inference", **nothing, **{**QUICK, "writers": ["overlay"], **given}))
    assert "written over" in said and "one of the inputs" in said
    assert digests(pictures.parent) == before


def test_no_other_input_is_written_over(small: Sample, tmp_path: Path) -> None:
    one = small.images / "phantom_001.dcm"
    table, template = tmp_path / "landmarks.csv", tmp_path / "template.png"
    table.write_bytes(small.landmarks.read_bytes())
    Image.fromarray((read_radiograph(small.image).pixels * 255).astype("uint8")).save(template)
    shutil.copy(one, tmp_path / "template.dcm")
    shutil.copy(small.truth, tmp_path / "metrics.csv")
    before = digests(tmp_path)
    own = {"template_image": template, "template_landmarks": small.landmarks}
    for settings in (
        {"template_image": small.image, "template_landmarks": table, "dataset_dir": one, "writers": []},
        {**own, "dataset_dir": tmp_path / "template.dcm", "writers": ["overlay"]},
        {**own, "dataset_dir": one, "writers": [], "model_path": table},
        {**own, "dataset_dir": one, "writers": [], "measurements": table},
    ):
        assert "written over" in refusal(lambda given=settings: run("inference", **QUICK, **given, output_dir=tmp_path))
    truth = {"landmarks": tmp_path / "metrics.csv", "dataset_dir": small.images, "output_dir": tmp_path}
    assert "written over" in refusal(lambda: run("evaluate", **QUICK, **small.template, **truth))
    said = refusal(lambda: run("train", kind="train", **own, model_path=template, output_dir=tmp_path / "training"))
    assert "written over" in said and digests(tmp_path) == before


def test_the_command_ends_with_status_2_and_one_sentence(small: Sample, pictures: Path) -> None:
    before = digests(pictures)
    ended = run_command("inference", "inference", **small.template, dataset_dir=pictures, output_dir=pictures)
    assert ended.returncode == 2 and digests(pictures) == before
    assert [line for line in ended.stderr.splitlines() if line.startswith("error: ")] == ended.stderr.splitlines()[-1:]


@pytest.mark.parametrize("place", ["results", "."])
def test_a_second_run_has_the_same_images(place: str, small: Sample, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(small.images, study)
    settings = {**small.template, **QUICK, "writers": ["json", "markups", "overlay", "sr", "coco"]}
    tables = []
    for _ in range(2):
        run("inference", **settings, dataset_dir=study, output_dir=study / place)
        tables.append((study / place / "landmarks.csv").read_bytes())
        assert (study / place / "errors.csv").read_text() == "file,reason\n"
    assert tables[0] == tables[1] and len(read_landmark_table(study / place / "landmarks.csv")) == 3


def test_results_of_an_earlier_run_elsewhere_are_no_images(
    small: Sample, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    shutil.copytree(small.images, study)
    for number in (1, 2):
        settings = {**small.template, **QUICK, "writers": ["overlay", "sr"]}
        run("inference", **settings, dataset_dir=study, output_dir=study / f"results{number}")
    assert (study / "results2" / "errors.csv").read_text() == "file,reason\n"
    assert len(read_landmark_table(study / "results2" / "landmarks.csv")) == 3
    said = capfd.readouterr().err
    assert f"left out of {study}, results of this program: results1/phantom_001.png" in said
    tables = ", ".join(f"results1/{name}" for name in ("checksums.sha256", "errors.csv", "landmarks.csv"))
    assert f"left out of {study}, no image: {tables}" in said


def test_every_image_has_results_of_its_own(small: Sample, tmp_path: Path) -> None:
    names = ["a.dcm", "a.mrk.dcm", "keypoints.dcm", "s1/x.dcm", "s2/x.dcm"]
    for name in names:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(small.images / "phantom_001.dcm", tmp_path / "images" / name)
    out = tmp_path / "out"
    settings = {**small.template, **QUICK, "writers": [*ENDINGS, "coco"]}
    run("inference", **settings, dataset_dir=tmp_path / "images", output_dir=out)
    ids = list(read_landmark_table(out / "landmarks.csv"))
    assert ids == ["a", "a_mrk", "_keypoints", "s1__x", "s2__x"]
    for name in ids:
        assert json.loads((out / f"{name}.json").read_text())["image_id"] == name
        assert json.loads((out / f"{name}.mrk.json").read_text())["markups"][0]["name"] == name
        assert all((out / f"{name}{ending}").is_file() for ending in ENDINGS.values()), "each writer is in the list"
    assert [image["file_name"] for image in json.loads((out / "keypoints.json").read_text())["images"]] == names
