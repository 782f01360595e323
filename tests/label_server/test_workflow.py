"""Annotate, train, correct, train again: one story, told in order by tests that go on where the one before stopped."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.errors import LandmarkError
from bundle.io.landmark_files import read_landmarks
from bundle.io.overwriting import file_digest
from bundle.io.radiographs import read_radiograph
from bundle.model import build_network
from bundle.model.checkpoint import read_checkpoint
from bundle.networks import NetworkSettings
from bundle.selection import WORKING_SIDE, describe_images, rank_by_coverage, whiten_together
from tests.label_server.client import MODEL, ROOT, Client, Server
from tests.label_server.conftest import Study

pytestmark = pytest.mark.timeout(1800)

IMAGES = ("hand_1", "hand_2", "hand_3", "hand_4")

#: A training of seconds.
QUICK = {"max_epochs": 1, "warps": 4}


def points(document: dict) -> np.ndarray:
    return np.array([[landmark["x"], landmark["y"]] for landmark in document["result"]["landmarks"]])


def mean_error(client: Client, study: Study, image: str) -> float:
    found = points(client.infer(image).json)
    return float(np.linalg.norm(found - study.truth[image].points, axis=1).mean())


def test_what_the_server_says_about_itself(client: Client) -> None:
    info = client.ask("GET", "/info/").json
    assert info["labels"] == []
    assert list(info["models"]) == [MODEL] == list(info["trainers"])
    assert {"helps_most", "representative", "least_confident"} <= set(info["strategies"])
    assert list(info["scoring"]) == ["radial_error"]
    assert info["datastore"] == {"total": 5, "completed": 0, "label_tags": {}}


def test_without_annotation_and_model_it_says_so(client: Client) -> None:
    assert "annotate one image" in client.infer("hand_1").sentence
    assert "no annotated image to train on" in client.ask("POST", f"/train/{MODEL}", body=QUICK).sentence


def test_the_first_proposal_is_the_most_typical_image(client: Client, study: Study) -> None:
    proposal = client.ask("POST", "/activelearning/helps_most").json
    assert proposal["id"] in study.truth
    assert Path(proposal["path"]) == study.image(proposal["id"])
    assert "the most typical of 5 images" in proposal["reason"]
    assert proposal["id"] == client.ask("POST", "/activelearning/representative").json["id"]
    assert list((study.folder / "monailabel" / "features").glob("*.npy")), "the maps are kept"


def test_an_annotation_is_saved_as_it_was_sent(client: Client, study: Study) -> None:
    sent = study.markups("hand_0")
    assert client.save("hand_0", sent).json == {"image": "hand_0", "label": "hand_0"}
    kept = client.ask("GET", "/datastore/label", {"label": "hand_0", "tag": "final"})
    assert kept.json == sent
    objects = client.ask("GET", "/datastore/", {"output": "all"}).json["objects"]
    assert set(objects) == set(study.truth)
    assert objects["hand_0"]["labels"]["final"]["ext"] == ".mrk.json"
    assert client.ask("GET", "/info/").json["labels"] == list(study.truth["hand_0"].names)


@pytest.mark.parametrize("image", IMAGES)
def test_points_without_training(client: Client, study: Study, image: str) -> None:
    """Of a PNG, a JPEG, a NIfTI and a DICOM file, in all three forms."""
    answer = client.infer(image).json
    result = answer["result"]
    assert result["image"] == study.image(image).name
    assert [landmark["name"] for landmark in result["landmarks"]] == list(study.truth[image].names)
    assert list(answer["label_names"]) == list(study.truth[image].names)
    assert answer["latencies"]["total"] >= 0
    assert all(0 <= landmark["confidence"] <= 1 for landmark in result["landmarks"])
    assert (result["pixel_spacing_mm"] is None) == (image in ("hand_1", "hand_2"))
    assert mean_error(client, study, image) < 12

    markups = client.infer(image, "image").json
    (point_list,) = markups["markups"]
    assert (point_list["type"], point_list["coordinateSystem"]) == ("Fiducial", "LPS")
    places = np.array([point["position"] for point in point_list["controlPoints"]])
    assert np.abs(places - [landmark["lps"] for landmark in result["landmarks"]]).max() < 1e-3

    both = client.infer(image, "all").parts()
    assert json.loads(both["params"])["result"] == result
    assert json.loads(both["image"]) == markups


def test_points_of_a_file_that_the_client_sends(client: Client, study: Study) -> None:
    file = study.image("hand_3")
    answer = client.ask(
        "POST", f"/infer/{MODEL}", {"output": "json"}, files={"file": (file.name, file.read_bytes())}, fields={}
    )
    assert np.abs(points(answer.json) - points(client.infer("hand_3").json)).max() < 1e-3
    deadline = time.monotonic() + 60
    sent = study.folder / "monailabel" / "model" / MODEL / "tmp"
    while left := [path.name for path in sent.iterdir() if path.name.endswith((".nii.gz", ".mrk.json"))]:
        assert time.monotonic() < deadline, f"temporary files stay behind: {left}"
        time.sleep(0.2)


def test_training_shows_progress_and_the_next_inference_uses_it(client: Client, server: Server, study: Study) -> None:
    before = points(client.infer("hand_1").json)
    state = client.train(**QUICK, template="hand_0")
    assert state["status"] == "DONE", state
    assert any("epoch" in line for line in state["details"]), state["details"]
    assert server.model.is_file()
    after = points(client.infer("hand_1").json)
    assert np.abs(after - before).max() > 0, "the whitening of a training is another one"
    stats = client.ask("GET", "/info/").json["train_stats"][MODEL]
    assert (stats["templates"], stats["epoch"], stats["total_epochs"]) == (["hand_0"], 1, 1)
    assert all(mean_error(client, study, image) < 12 for image in IMAGES)


def test_points_are_those_of_the_bundle(client: Client, server: Server, study: Study, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    line += ["--model_path", str(server.model), "--dataset_dir", str(study.folder), "--output_dir", str(tmp_path)]
    run = subprocess.run(
        [*line, "--writers", "['json']"], cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False
    )
    for image in IMAGES:
        file = tmp_path / f"{image}.json"
        assert file.is_file(), run.stderr[-2000:]
        own = {"result": json.loads(file.read_text(encoding="utf-8"))}
        assert np.abs(points(own) - points(client.infer(image).json)).max() < 0.1


def test_a_corrected_point_is_saved_and_scored(client: Client, study: Study) -> None:
    """The points found for another image, all moved by 3 and 4 pixels: the score is 5 pixels."""
    result = client.infer("hand_4").json["result"]
    markups = client.infer("hand_4", "image").json
    to_lps = read_radiograph(study.image("hand_4")).pixel_to_lps
    for landmark, point in zip(result["landmarks"], markups["markups"][0]["controlPoints"]):
        point["position"] = (to_lps @ [landmark["x"] + 3, landmark["y"] + 4, 1]).tolist()
    assert client.save("hand_4", markups).status == 200
    saved = study.folder / "labels" / "final" / "hand_4.mrk.json"
    moved = read_landmarks(saved, read_radiograph(study.image("hand_4")))
    assert np.abs(moved.points - points({"result": result}) - [3, 4]).max() < 1e-2

    report = client.ask("POST", "/scoring/radial_error", {"run_sync": "true"}, body={"radii": [1, 100]}).json
    assert (report["images"], report["left_out"]) == (1, {"hand_0": "it is the template"})
    assert abs(report["mre_px"] - 5) < 1e-2
    assert abs(report["mre_mm"] - 5 * result["pixel_spacing_mm"][0]) < 1e-2
    assert report["sdr"] == {"1": 0, "100": 100}
    assert set(report["landmarks"]) == set(study.truth["hand_4"].names)


def test_later_proposals_stand_for_the_images_that_none_stands_for(client: Client, study: Study) -> None:
    proposal = client.ask("POST", "/activelearning/helps_most").json
    network = build_network(
        NetworkSettings(working_sides=(WORKING_SIDE,), negative=False, whitening=False, local_channels=0)
    )
    names = sorted(study.truth)
    images = (torch.from_numpy(read_radiograph(study.image(name)).pixels)[None, None] for name in names)
    maps = dict(zip(names, whiten_together(list(describe_images(images, network)))))
    assert proposal["id"] == rank_by_coverage(maps, ["hand_0", "hand_4"])[0][0]
    assert "stands for most" in proposal["reason"]


def test_the_least_confident_image(client: Client) -> None:
    proposal = client.ask("POST", "/activelearning/least_confident").json
    means = {
        image: np.mean([landmark["confidence"] for landmark in client.infer(image).json["result"]["landmarks"]])
        for image in ("hand_1", "hand_2", "hand_3")
    }
    assert proposal["id"] == min(means, key=lambda image: means[image])
    assert "least sure" in proposal["reason"]


def test_a_second_training_is_refused_and_the_first_can_be_stopped(client: Client, server: Server) -> None:
    before = server.model.read_bytes()
    assert client.ask("POST", f"/train/{MODEL}", body={"warps": 3000, "max_epochs": 50}).status == 200
    assert "running already" in client.ask("POST", f"/train/{MODEL}", body=QUICK).sentence
    deadline = time.monotonic() + 900
    while client.ask("GET", "/train/").json["status"] != "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert client.ask("DELETE", "/train/").json["status"] == "STOPPED"
    assert server.model.read_bytes() == before
    assert client.infer("hand_1").status == 200


def test_a_failed_training_leaves_the_model(client: Client, server: Server, study: Study) -> None:
    before = server.model.read_bytes()
    label = study.folder / "labels" / "final" / "hand_0.mrk.json"
    kept = label.read_text(encoding="utf-8")
    label.write_text("{}", encoding="utf-8")
    try:
        with pytest.raises(LandmarkError):
            read_landmarks(label, read_radiograph(study.image("hand_0")))
        state = client.train(**QUICK, template="hand_0")
        assert state["status"] == "ERROR"
        assert any(line.startswith("error: ") for line in state["details"]), state["details"]
        assert server.model.read_bytes() == before
        assert client.infer("hand_1").status == 200
    finally:
        label.write_text(kept, encoding="utf-8")


def test_training_again_with_the_corrected_image(client: Client, server: Server, study: Study) -> None:
    """Both annotated images are templates then, and neither counts in the scores."""
    before = points(client.infer("hand_1").json)
    assert client.train(**QUICK)["status"] == "DONE"
    stats = client.ask("GET", "/info/").json["train_stats"][MODEL]
    assert sorted(stats["templates"]) == ["hand_0", "hand_4"]
    kept = read_checkpoint(server.model).template
    named = {study.image(name).name: study.image(name) for name in stats["templates"]}
    assert [template.name for template in kept.all] == list(named)
    assert [template.digest for template in kept.all] == [file_digest(path) for path in named.values()]
    assert np.abs(points(client.infer("hand_1").json) - before).max() > 0
    assert all(mean_error(client, study, image) < 12 for image in IMAGES)
    report = client.ask("POST", "/scoring/radial_error", {"run_sync": "true"}, body={}).json
    assert (report["images"], set(report["left_out"])) == (0, {"hand_0", "hand_4"})


def test_the_log_can_be_read(client: Client) -> None:
    log = client.ask("GET", "/logs/", {"html": "false", "lines": "5000"})
    assert log.status == 200
    assert b"oneshot_landmarks" in log.content


def test_the_server_keeps_to_its_folder(server: Server, study: Study) -> None:
    assert {path.name for path in study.folder.iterdir()} <= {
        *(study.image(name).name for name in study.truth),
        *("labels", "monailabel", "datastore_v2.json", ".lock", "workbench"),
    }
    assert os.access(server.model, os.R_OK)
