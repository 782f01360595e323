"""Cases and units of the workflows: what is measured, on which images, and in which unit."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from bundle.io.landmark_files import read_landmark_table
from bundle.io.radiographs import read_radiograph
from tests.conftest import Sample, Trained
from tests.workflows.running import run


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
        if not path.name.endswith(".mrk.json")
    }


def evaluate(trained: Trained, small: Sample, folder: Path, **settings: Any) -> ConfigWorkflow:
    settings = {"dataset_dir": small.images, "landmarks": small.truth, **settings}
    return run("evaluate", model_path=trained.model, output_dir=folder, **settings)


def infer(trained: Trained, small: Sample, folder: Path, **settings: Any) -> dict[str, dict[str, Any]]:
    settings = {"dataset_dir": small.images, **settings}
    run("inference", model_path=trained.model, output_dir=folder, writers=["json"], **settings)
    return documents(folder)


def png_copies(small: Sample, folder: Path) -> Path:
    """The images without their pixel spacing."""
    from PIL import Image

    folder.mkdir()
    for path in small.images.glob("*.dcm"):
        pixels = np.round(read_radiograph(path).pixels * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{path.stem}.png")
    return folder


def test_a_copy_of_the_template_is_left_out(trained: Trained, small: Sample, tmp_path: Path) -> None:
    shutil.copytree(small.images, tmp_path / "images")
    shutil.copy(small.image, tmp_path / "images" / "copy.dcm")
    shutil.copy(small.images / "phantom_001.dcm", tmp_path / "images" / "unknown.dcm")
    lines = small.truth.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",")[1:]
    more = [",".join(["copy", *cells]), ",".join(["gone", *cells])]
    (tmp_path / "truth.csv").write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8")
    evaluate(trained, small, tmp_path, dataset_dir=tmp_path / "images", landmarks=tmp_path / "truth.csv")
    found = report(tmp_path)
    assert found["images"] == 3 and found["template_left_out"] == ["copy"]
    assert found["images_without_truth"] == ["unknown"] and found["truth_without_image"] == ["gone"]


def test_truth_in_another_order_is_matched_by_name(trained: Trained, small: Sample, tmp_path: Path) -> None:
    names = [line.split(",")[0] for line in small.landmarks.read_text(encoding="utf-8").splitlines()[1:]]
    table = read_landmark_table(small.truth)
    header = ["image", *(f"{name}_{axis}" for name in reversed(names) for axis in "xy")]
    rows = [[image, *(str(v) for v in points.points[::-1].ravel())] for image, points in table.items()]
    (tmp_path / "truth.csv").write_text("\n".join(",".join(row) for row in [header, *rows]), encoding="utf-8")
    evaluate(trained, small, tmp_path / "a")
    evaluate(trained, small, tmp_path / "b", landmarks=tmp_path / "truth.csv")
    assert report(tmp_path / "a")["mre_px"] == pytest.approx(report(tmp_path / "b")["mre_px"], abs=1e-9)


def test_a_data_list_in_its_own_order(trained: Trained, small: Sample, tmp_path: Path) -> None:
    entries = [
        {"image": str(small.images / "phantom_003.dcm"), "pixel_spacing": 0.5},
        {"image": str(small.images / "phantom_001.dcm")},
    ]
    (tmp_path / "list.json").write_text(json.dumps(entries), encoding="utf-8")
    found = infer(trained, small, tmp_path / "out", dataset_dir=tmp_path / "list.json")
    assert list(read_landmark_table(tmp_path / "out" / "landmarks.csv")) == ["phantom_003", "phantom_001"]
    first = found["phantom_003"]["landmarks"][0]
    assert first["x_mm"] == pytest.approx(first["x"] * 0.5, abs=0.002)


def test_one_image(trained: Trained, small: Sample, tmp_path: Path) -> None:
    found = infer(trained, small, tmp_path, dataset_dir=small.images / "phantom_002.dcm")
    assert list(found) == ["phantom_002"]


class TestSpacing:
    @pytest.fixture(scope="class")
    def plain(self, small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return png_copies(small, tmp_path_factory.mktemp("plain") / "images")

    def test_an_unknown_one_leaves_pixels(self, trained: Trained, small: Sample, plain: Path, tmp_path: Path) -> None:
        evaluate(trained, small, tmp_path / "evaluation", dataset_dir=plain)
        found = report(tmp_path / "evaluation")
        assert found["mre_mm"] is None and found["mre_px"] > 0 and found["points_mm"] == 0
        assert set(found["sdr"].values()) == {None}
        for document in infer(trained, small, tmp_path / "inference", dataset_dir=plain).values():
            assert all(landmark["x_mm"] is None is landmark["y_mm"] for landmark in document["landmarks"])
            assert all(np.isfinite([landmark["x"], landmark["y"]]).all() for landmark in document["landmarks"])

    def test_an_anisotropic_one(self, trained: Trained, small: Sample, plain: Path, tmp_path: Path) -> None:
        spacing = [0.5, 0.6]
        for document in infer(trained, small, tmp_path, dataset_dir=plain, pixel_spacing=spacing).values():
            for landmark in document["landmarks"]:
                assert landmark["x_mm"] == pytest.approx(landmark["x"] * 0.5, abs=0.002)
                assert landmark["y_mm"] == pytest.approx(landmark["y"] * 0.6, abs=0.002)
        evaluate(trained, small, tmp_path, dataset_dir=plain, pixel_spacing=spacing)
        found = report(tmp_path)
        assert 0.5 * found["mre_px"] < found["mre_mm"] < 0.6 * found["mre_px"]

    def test_a_reference_length_of_the_truth_in_an_evaluation(
        self, trained: Trained, small: Sample, plain: Path, tmp_path: Path
    ) -> None:
        evaluate(
            trained, small, tmp_path, dataset_dir=plain, reference_length={"landmarks": [0, 4], "millimetres": 50.0}
        )
        truth = read_landmark_table(small.truth)
        rows = [row.split(",") for row in (tmp_path / "metrics.csv").read_text().splitlines()[1:]]
        for image, _, pixels, millimetres in rows:
            points = truth[image].points
            scale = 50 / np.linalg.norm(points[0] - points[4])
            assert float(millimetres) == pytest.approx(float(pixels) * scale, rel=1e-3, abs=1e-3)

    def test_and_of_the_prediction_in_an_inference(
        self, trained: Trained, small: Sample, plain: Path, tmp_path: Path
    ) -> None:
        settings = {"dataset_dir": plain, "reference_length": {"landmarks": [0, 4], "millimetres": 50.0}}
        for document in infer(trained, small, tmp_path, **settings).values():
            points = np.array([[landmark["x_mm"], landmark["y_mm"]] for landmark in document["landmarks"]])
            assert np.linalg.norm(points[0] - points[4]) == pytest.approx(50, abs=0.01)
