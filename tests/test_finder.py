"""The bundle from Python: the same points as the command line, from files and from memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import bundle
from bundle import LandmarkFinder, evaluate, save_all
from bundle.errors import BundleError, ConfigError, ImageError, LandmarkError
from bundle.finder import FoundLandmarks
from bundle.io.landmark_files import read_landmark_table
from bundle.io.radiographs import read_radiograph
from bundle.io.template import read_template
from bundle.model.checkpoint import read_checkpoint
from tests.conftest import Sample, Trained
from tests.workflows.running import ROOT, TINY_NETWORK, run


@pytest.fixture(scope="module")
def results(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``run inference`` writes with the template alone."""
    folder = tmp_path_factory.mktemp("results")
    settings = {"network": TINY_NETWORK, "report": False, "writers": ["json", "markups", "overlay", "coco"]}
    run("inference", **small.template, **settings, dataset_dir=small.images, output_dir=folder)
    return folder


@pytest.fixture(scope="module")
def finder(small: Sample) -> LandmarkFinder:
    return LandmarkFinder.from_template(small.image, small.landmarks, network=TINY_NETWORK, device="cpu")


@pytest.fixture(scope="module")
def queries(small: Sample) -> list[Path]:
    return sorted(small.images.glob("*.dcm"))


@pytest.fixture(scope="module")
def found(finder: LandmarkFinder, queries: list[Path]) -> list[FoundLandmarks]:
    return finder.find(queries)


def points_of(file: Path) -> np.ndarray:
    """Points in the JSON file of a run, which has them to the thousandth of a pixel."""
    landmarks = json.loads(file.read_text(encoding="utf-8"))["landmarks"]
    return np.array([[landmark["x"], landmark["y"]] for landmark in landmarks])


def test_finds_the_points_of_the_command(found: list[FoundLandmarks], results: Path) -> None:
    for one in found:
        assert_allclose(one.points, points_of(results / f"{one.image_id}.json"), atol=6e-4)
        assert one.points_mm is not None
        assert one.spacing is not None
        assert_allclose(one.points_mm, one.points * one.spacing)


def test_writes_the_files_of_the_command(found: list[FoundLandmarks], results: Path, tmp_path: Path) -> None:
    written = save_all(found, tmp_path, ["json", "markups", "overlay", "coco"])
    assert len(written) == 3 * len(found) + 1
    for file in written:
        expected = (results / file.name).read_bytes()
        if file.name == "keypoints.json":  # the command has the path from its folder, and the confidence of a journal
            assert json.loads(file.read_bytes())["annotations"] == json.loads(expected)["annotations"]
        else:
            assert file.read_bytes() == expected


def test_five_lines_from_array_to_points_write_nothing(
    small: Sample, queries: list[Path], found: list[FoundLandmarks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, query = (read_radiograph(path).pixels for path in (small.image, queries[0]))
    landmarks = read_template(small.image, small.landmarks).landmarks
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.parent.rglob("*"))

    finder = LandmarkFinder.from_template(template, landmarks.points, names=landmarks.names, network=TINY_NETWORK)
    points = finder.find(query).points

    assert_allclose(points, found[0].points, atol=1e-4)
    assert set(tmp_path.parent.rglob("*")) == before
    named = dict(zip(landmarks.names, landmarks.points.tolist()))
    assert_array_equal(LandmarkFinder.from_template(template, named, network=TINY_NETWORK).find(query).points, points)
    assert_array_equal(finder.find(torch.from_numpy(query)).points, points)


def test_several_templates_and_a_spacing(small: Sample, queries: list[Path], found: list[FoundLandmarks]) -> None:
    arrays = [read_radiograph(path).pixels for path in (small.image, queries[0])]
    table = read_landmark_table(small.truth)
    points = [read_template(small.image, small.landmarks).landmarks.points, table[queries[0].stem].points]
    finder = LandmarkFinder.from_template(arrays, points, network=TINY_NETWORK)
    assert finder.names == ("1", "2", "3", "4", "5", "6", "7", "8")
    (first, second) = finder.find([arrays[1], arrays[0]], spacing=0.5)
    assert (first.image_id, second.image_id) == ("image_1", "image_2")
    assert_allclose(first.points_mm, first.points * 0.5)  # type: ignore[arg-type]
    assert np.linalg.norm(first.points - points[1], axis=1).mean() < 3


def test_learns_as_the_training_does_and_saves_the_model(
    small: Sample, trained: Trained, queries: list[Path], tmp_path: Path
) -> None:
    finder = LandmarkFinder.from_template(small.image, small.landmarks, network=TINY_NETWORK).fit()
    expected = read_checkpoint(trained.model)
    learned = finder.model.learned
    assert learned is not None and expected.learned is not None
    for name, tensor in expected.learned.tensors().items():
        torch.testing.assert_close(learned.tensors()[name], tensor)
    finder.save_model(tmp_path / "model.pt", keep_images=False)
    again = LandmarkFinder.from_model(tmp_path / "model.pt")
    one, other = finder.find(queries[0]), again.find(queries[0])
    assert_allclose(one.points, other.points, atol=1e-4)
    assert_allclose(one.points, LandmarkFinder.from_model(trained.model).find(queries[0]).points, atol=1e-4)
    assert one.expected_error.shape == one.confidence.shape == (8,)


def test_evaluates_as_the_command_does(finder: LandmarkFinder, small: Sample, tmp_path: Path) -> None:
    run(
        "evaluate",
        **small.template,
        network=TINY_NETWORK,
        report=False,
        dataset_dir=small.images,
        landmarks=small.truth,
        output_dir=tmp_path / "command",
    )
    measured = evaluate(finder, small.images, small.truth)
    measured.save(tmp_path / "python")
    assert (tmp_path / "python/metrics.csv").read_bytes() == (tmp_path / "command/metrics.csv").read_bytes()
    expected = json.loads((tmp_path / "command/metrics.json").read_text(encoding="utf-8"))
    assert {**expected, "seconds_per_image": None} == measured.summary
    assert f"{measured.summary['mre_mm']:.2f}" in str(measured)


def test_evaluates_arrays(finder: LandmarkFinder, queries: list[Path], found: list[FoundLandmarks]) -> None:
    images = [read_radiograph(path).pixels for path in queries]
    moved = [one.points + np.array([3.0, 4.0]) for one in found]
    moved[0][2] = np.nan
    measured = evaluate(finder, images, moved, spacing=0.1)
    assert measured.summary["mre_px"] == pytest.approx(5.0, abs=1e-3)
    assert measured.summary["mre_mm"] == pytest.approx(0.5, abs=1e-4)
    assert measured.summary["points"] == 8 * len(found) - 1


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda f, q: f.find("nowhere.png"), ImageError, "nowhere.png does not exist"),
        (
            lambda f, q: f.find(np.zeros((4, 8, 3))),
            ImageError,
            r"shape \(4, 8, 3\).*expected numbers",
        ),
        (lambda f, q: f.find(np.array([["a"]])), ImageError, "expected numbers"),
        (lambda f, q: f.find([q, q]), ImageError, "name each image once"),
        (lambda f, q: f.find(q, spacing=-1), ConfigError, "positive"),
        (lambda f, q: f.find(q).save("results", ["pdf"]), ConfigError, r"writers is \['pdf'\].*json, markups"),
        (lambda f, q: evaluate(f, [q], [np.zeros((3, 2))]), LandmarkError, r"\(3, 2\), expected \(8, 2\)"),
        (lambda f, q: evaluate(f, [q], []), LandmarkError, "1 images and 0 sets"),
        (lambda f, q: LandmarkFinder.from_template(q, None), LandmarkError, "has no landmarks"),
        (lambda f, q: LandmarkFinder.from_template(np.zeros((9, 9)), {"a": (2, 3)}), ImageError, "array is empty"),
        (lambda f, q: LandmarkFinder.from_model("nowhere.pt"), BundleError, "no trained model at nowhere.pt"),
        (
            lambda f, q: LandmarkFinder.from_template(np.eye(64), {"a": (2, 3)}, device="quantum"),
            ConfigError,
            "device is 'quantum'",
        ),
    ],
)
def test_mistakes_are_one_sentence(finder: LandmarkFinder, queries: list[Path], wrong, error, says: str) -> None:
    with pytest.raises(error, match=says):
        wrong(finder, queries[0])


def test_results_are_never_written_over_images(
    finder: LandmarkFinder, found: list[FoundLandmarks], tmp_path: Path
) -> None:
    found[0].save(tmp_path, ["overlay"])
    picture = next(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="written over"):
        finder.find(picture).save(tmp_path, ["overlay"])


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, bundle, bundle.io.radiographs, bundle.writers.files; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'LandmarkFindr'"):
        bundle.LandmarkFindr  # noqa: B018
