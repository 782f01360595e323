"""Five real cephalograms, annotated, trained on and measured through the server; run with -s to see the figures."""

from __future__ import annotations

import csv
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from label_server.predictor import Predictor
from tests.label_server.client import ROOT, Client, Server, running_server

FOLDER = Path(os.environ.get("OSL_REAL_DATA", "")) / "isbi2015"
TEMPLATE, QUERIES = "125", ("011", "040", "075", "150")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not os.environ.get("OSL_REAL_DATA") or not FOLDER.is_dir(),
        reason="OSL_REAL_DATA does not name the cephalograms",
    ),
]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("head")
    for name in (TEMPLATE, *QUERIES):
        shutil.copy(FOLDER / "images" / f"{name}.jpg", folder)
    log = tmp_path_factory.mktemp("log") / "server.log"
    with running_server(folder, log, folder, 900, "--overlay", str(ROOT / "configs" / "head.json")) as running:
        yield running


def annotation(image: str) -> bytes:
    """The landmarks of an image as a CSV of its own."""
    with (FOLDER / "landmarks_mean.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in list(csv.reader(file))[1:] if Path(row[0]).stem == image)
    lines = [f"L{i + 1},{x},{y}" for i, (x, y) in enumerate(zip(row[1::2], row[2::2]))]
    return "\n".join(["name,x,y", *lines, ""]).encode()


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
    image = head.studies / f"{QUERIES[0]}.jpg"
    bundle = Predictor(head.model.parents[1], [ROOT / "configs" / "head.json"], lambda: None)
    own, served = [], []
    for _ in range(6):
        start = time.perf_counter()
        direct = bundle.predict(image, "x")
        middle = time.perf_counter()
        result = head.client.infer(QUERIES[0], "all")
        served.append(time.perf_counter() - middle)
        own.append(middle - start)
        assert result.status == 200
    points = [[point["x"], point["y"]] for point in head.client.infer(QUERIES[0]).json["result"]["landmarks"]]
    assert np.abs(np.array(points) - direct.points).max() < 0.1
    ratio = np.median(served[1:]) / np.median(own[1:])
    print(f"\nbundle {np.median(own[1:]):.2f} s, server {np.median(served[1:]):.2f} s, {ratio:.2f} times")
    print(f"own {np.round(own, 2)}, served {np.round(served, 2)}, load {os.getloadavg()}")
    assert ratio <= 1.3
