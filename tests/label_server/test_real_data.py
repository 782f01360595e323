"""Real radiographs, annotated, trained on and measured through the server; run with -s to see the figures."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bundle.io.radiographs import read_radiograph
from label_server.predictor import Predictor
from tests.label_server.client import ROOT, Client, Server, running_server

DATA = Path(os.environ.get("OSL_REAL_DATA", ""))
FOLDER = DATA / "isbi2015"
TEMPLATE, QUERIES = "125", ("011", "040", "075", "150")
HEAD = ROOT / "configs" / "head.json"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not os.environ.get("OSL_REAL_DATA") or not FOLDER.is_dir(),
        reason="OSL_REAL_DATA does not name the cephalograms",
    ),
]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on five cephalograms, 1935 x 2400 pixels, as PNG."""
    folder = tmp_path_factory.mktemp("head")
    for name in (TEMPLATE, *QUERIES):
        write_png(FOLDER / "images" / f"{name}.jpg", folder / f"{name}.png")
    log = tmp_path_factory.mktemp("log") / "server.log"
    with running_server(folder, log, folder, 900, "--overlay", str(HEAD)) as running:
        yield running


def write_png(image: Path, target: Path) -> None:
    grey = np.rint(read_radiograph(image).pixels * 255).astype(np.uint8)
    Image.fromarray(grey).save(target)


def annotation(image: str) -> bytes:
    """The landmarks of an image as a CSV of its own."""
    with (FOLDER / "landmarks_mean.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in list(csv.reader(file))[1:] if Path(row[0]).stem == image)
    lines = [f"L{i + 1},{x},{y}" for i, (x, y) in enumerate(zip(row[1::2], row[2::2]))]
    return "\n".join(["name,x,y", *lines, ""]).encode()


def points(answer: dict) -> np.ndarray:
    return np.array([[point["x"], point["y"]] for point in answer["landmarks"]])


def measure(client: Client) -> dict:
    report = client.ask("POST", "/scoring/radial_error", {"run_sync": "true"}, timeout=3000).json
    assert (report["images"], report["left_out"]) == (len(QUERIES), {TEMPLATE: "it is the template"})
    return report


def test_annotate_train_infer(head: Server) -> None:
    client = head.client
    print("\nproposed first:", client.ask("POST", "/activelearning/helps_most").json)
    assert client.save(TEMPLATE, annotation(TEMPLATE), "points.csv").status == 200
    found = client.infer(QUERIES[0]).json["result"]
    assert found["pixel_spacing_mm"] == [0.1, 0.1] and len(found["landmarks"]) == 19
    print("proposed next:", client.ask("POST", "/activelearning/helps_most").json)
    for query in QUERIES:  # the readers' points, so that the score can be told
        assert client.save(query, annotation(query), "points.csv").status == 200
    before = measure(client)
    start = time.monotonic()
    state = client.train(3000, template=TEMPLATE)
    assert state["status"] == "DONE", state
    seconds = time.monotonic() - start
    after = measure(client)
    for name, report in (("zero-shot", before), ("trained", after)):
        print(f"{name}: MRE {report['mre_mm']:.2f} mm, SDR {report['sdr']}, {report['cases']}")
    print(f"training: {seconds:.0f} s, load {os.getloadavg()}")
    assert after["mre_mm"] < 4 and after["sdr"]["4"] > 60


def test_time_through_the_server(head: Server) -> None:
    """At most 1.3 times that of the bundle itself; one after the other in turns, the model loaded."""
    image = head.studies / f"{QUERIES[0]}.png"
    bundle = Predictor(head.model.parents[1], [HEAD], lambda: None)
    own, served = [], []
    for _ in range(11):
        start = time.perf_counter()
        direct = bundle.predict(image, "x")
        middle = time.perf_counter()
        result = head.client.infer(QUERIES[0], "all")
        served.append(time.perf_counter() - middle)
        own.append(middle - start)
        assert result.status == 200
    assert np.abs(points(head.client.infer(QUERIES[0]).json["result"]) - direct.points).max() < 0.1
    ratio = np.median(served[1:]) / np.median(own[1:])
    print(f"\nbundle {np.median(own[1:]):.2f} s, server {np.median(served[1:]):.2f} s, {ratio:.2f} times")
    print(f"own {np.round(own, 2)}, served {np.round(served, 2)}, load {os.getloadavg()}")
    assert ratio <= 1.3


@pytest.mark.skipif(not (DATA / "dicom").is_dir(), reason="OSL_REAL_DATA has no DICOM files")
def test_points_of_every_format_are_those_of_the_bundle(tmp_path: Path) -> None:
    """A real radiograph as PNG, JPEG, NIfTI and DICOM; the template is the same patient's, turned a little."""
    study, out = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    files = sorted((DATA / "dicom").glob("*.dcm"))
    for number, file in enumerate(files):
        shutil.copy(file, study / f"dicom_{number}.dcm")
    grey = Image.fromarray(np.rint(read_radiograph(files[0]).pixels * 255).astype(np.uint8))
    grey.save(study / "png.png")
    grey.save(study / "jpeg.jpg", quality=95)
    nibabel.save(nibabel.Nifti1Image(np.asarray(grey).T[:, :, None], np.diag([-0.2, -0.2, 1, 1])), study / "nifti.nii")
    grey.rotate(3, Image.Resampling.BILINEAR).save(study / "template.png")
    columns, rows = np.meshgrid(np.linspace(0.3, 0.7, 3) * grey.width, np.linspace(0.2, 0.8, 3) * grey.height)
    lines = [f"p{number},{x:.1f},{y:.1f}" for number, (x, y) in enumerate(zip(columns.flat, rows.flat))]
    label = "\n".join(["name,x,y", *lines, ""]).encode()
    with running_server(study, tmp_path / "server.log", tmp_path) as server:
        client = server.client
        assert client.save("template", label, "points.csv").status == 200
        assert client.train(1800, max_epochs=1, warps=4)["status"] == "DONE"
        line = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
        line += ["--model_path", str(server.model), "--dataset_dir", str(study), "--output_dir", str(out)]
        subprocess.run([*line, "--writers", "['json']"], cwd=ROOT, capture_output=True, timeout=1800, check=False)
        for name in [f"dicom_{number}" for number in range(len(files))] + ["png", "jpeg", "nifti"]:
            own = points(json.loads((out / f"{name}.json").read_text(encoding="utf-8")))
            apart = np.abs(points(client.infer(name).json["result"]) - own).max()
            print(f"\n{name}: {apart:.4f} pixels")
            assert apart < 0.1
