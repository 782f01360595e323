"""The parts of the app that need no server."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.io.landmark_files import read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.records.validation import validate
from bundle.writers.slicer_markups import annotation_document
from label_server.app import read_overlays
from label_server.app_folder import make_app_folder
from label_server.datastore import StudyDatastore
from label_server.parameters import InferenceParameters, read_training
from label_server.predictor import Predictor
from label_server.strategies import Representative
from label_server.train_task import LandmarkTrainTask
from study.annotations import AnnotatedImage, all_placed, check_annotation, point_names, version_of
from study.features import ImageFeatures
from tests.label_server.client import ROOT
from tests.label_server.conftest import Study
from tests.study.test_folder import refusal

pytestmark = pytest.mark.timeout(1800)


#: Starts the server as the command does, but for MONAI Label itself.
PROGRAM = """
import monailabel.main
monailabel.main.Main.run = lambda self: None
from label_server.__main__ import main
main()
"""


def without_first_point(markups: dict[str, Any]) -> dict[str, Any]:
    markups["markups"][0]["controlPoints"][0]["positionStatus"] = "undefined"
    return markups


def test_maps_are_computed_once(study: Study, tmp_path: Path) -> None:
    features = ImageFeatures(tmp_path / "features")
    first = features.of(study.image("hand_1"))
    assert first.ndim == 3 and first.isfinite().all()
    (kept,) = (tmp_path / "features").iterdir()
    np.save(kept, np.zeros((3, 1, 1), dtype=np.float16))
    assert len(features.of(study.image("hand_1"))) == 3, "the file is read"
    assert len(features.of(study.image("hand_2"))) == len(first), "another image is not that file"


def test_the_most_typical_shape_comes_first(study: Study, tmp_path: Path) -> None:
    """An image that is stretched is the one that all others must be bent for."""
    cases = [AnnotatedImage(name, study.image(name), tmp_path / f"{name}.mrk.json") for name in study.truth]
    bent = np.asarray(Image.open(study.image("hand_1")))
    rows = np.arange(len(bent))
    wave = np.rint(np.clip(rows + 40 * np.sin(rows / 20), 0, len(bent) - 1)).astype(int)
    Image.fromarray(bent[wave]).save(tmp_path / "bent.png")
    cases.insert(0, AnnotatedImage("bent", tmp_path / "bent.png", tmp_path / "bent.mrk.json"))
    predictor = Predictor(make_app_folder(tmp_path / "app"), [], lambda: None)
    order = Representative(predictor, ImageFeatures(tmp_path / "features"))
    names = [case.image_id for case in order.most_typical_first(cases)]
    assert sorted(names) == sorted(["bent", *study.truth]) and names[-1] == "bent"


def test_which_annotated_images_a_training_takes(study: Study, tmp_path: Path) -> None:
    bundle = make_app_folder(tmp_path / "app")
    annotated = {}
    for name in study.truth:
        label = tmp_path / f"{name}.mrk.json"
        label.write_text(json.dumps(study.markups(name)), encoding="utf-8")
        annotated[name] = AnnotatedImage(name, study.image(name), label)
    whole = list(annotated.values())
    (tmp_path / "hand_3.mrk.json").write_text(json.dumps(without_first_point(study.markups("hand_3"))), "utf-8")

    def backwards(cases: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
        return list(reversed(cases))

    def taken(task: LandmarkTrainTask, *names: str) -> list[str]:
        return [case.image_id for case in task._templates(names, annotated)]

    task = LandmarkTrainTask(str(bundle), [], backwards)
    assert taken(task) == ["hand_4", "hand_2", "hand_1", "hand_0"], "a missing landmark makes no template"
    assert taken(task, "hand_2", "hand_0") == ["hand_2", "hand_0"], "in the order in which they were named"
    assert "at most 50" in refusal(lambda: taken(task, *("a" * 51)))
    assert task.config()["seed"] == 0 and "warps" not in task.config()
    paper = LandmarkTrainTask(str(bundle), [ROOT / "configs" / "paper.json"], backwards)
    assert taken(paper) == ["hand_4"] and len(whole) == 5
    assert "at most 1" in refusal(lambda: taken(paper, "hand_0", "hand_1"))
    assert [Path(file).name for file in paper.bundle_config_path] == ["train_decoders.json", "paper.json"]
    assert paper.config()["max_epochs"] == 8 and paper.config()["warps"] == 500
    annotated = {"hand_3": annotated["hand_3"]}
    assert "has all its landmarks placed" in refusal(lambda: taken(task))


def test_a_point_list_reads_back(study: Study, tmp_path: Path) -> None:
    for image in study.truth:
        radiograph = read_radiograph(study.image(image))
        file = tmp_path / f"{image}.mrk.json"
        file.write_text(json.dumps(annotation_document(study.truth[image], radiograph, image)), encoding="utf-8")
        assert np.abs(read_landmarks(file, radiograph).points - study.truth[image].points).max() < 1e-4
        assert point_names(file) == study.truth[image].names and all_placed(file)


def test_an_annotation_may_lack_points_but_not_names(study: Study, tmp_path: Path) -> None:
    markups = without_first_point(study.markups("hand_1"))
    file = tmp_path / "annotation.mrk.json"
    file.write_text(json.dumps(markups), encoding="utf-8")
    names = study.truth["hand_1"].names
    radiograph = read_radiograph(study.image("hand_1"))
    found = read_landmarks(file, radiograph)
    check_annotation(found, radiograph, {"the model": names})
    assert found.missing.sum() == 1 and not all_placed(file)
    assert "landmarks without extra" in refusal(
        lambda: check_annotation(found, radiograph, {"the model": (*names, "extra")})
    )


def test_the_study_takes_landmarks_in_pixels_too(study: Study, tmp_path: Path) -> None:
    store = StudyDatastore(str(study.folder), model_names=lambda: None, auto_reload=False)
    assert sorted(store.list_images()) == sorted(study.truth)
    rows = "\n".join(f"{n},{x},{y}" for n, (x, y) in zip(study.truth["hand_2"].names, study.truth["hand_2"].points))
    (tmp_path / "points.csv").write_text(f"name,x,y\n{rows}\n", encoding="utf-8")
    store.save_label("hand_2", str(tmp_path / "points.csv"), "final", {})
    (case,) = store.annotated()
    assert case.label.name == "hand_2.mrk.json"
    assert np.abs(case.landmarks().points - study.truth["hand_2"].points).max() < 1e-4
    again = StudyDatastore(str(study.folder), model_names=lambda: None, auto_reload=False)
    assert [case.image_id for case in again.annotated()] == ["hand_2"]
    (study.folder / "datastore_v2.json").unlink()
    lost = StudyDatastore(str(study.folder), model_names=lambda: None, auto_reload=False)
    assert [case.image_id for case in lost.annotated()] == ["hand_2"], "found again by its file"
    content = lost.annotated()[0].label.read_bytes()
    lost.remove_label("hand_2", "final")
    assert lost.annotated() == []
    lost.remove_label("hand_2", "final")
    lost.remove_label("../../hand_2", "final")
    (kept,) = (study.folder / "labels" / "final" / "replaced").iterdir()
    assert kept.name.startswith("hand_2.") and kept.read_bytes() == content


def test_no_file_of_a_study_is_written_over(study: Study, tmp_path: Path) -> None:
    """Not even one that the lists lack: put there by hand, under a name in other letters, or a link to elsewhere."""
    store = StudyDatastore(str(study.folder), model_names=lambda: None, auto_reload=False)
    sent, elsewhere = tmp_path / "sent.png", tmp_path / "elsewhere.png"
    sent.write_bytes(study.image("hand_1").read_bytes())
    (study.folder / "unlisted.png").write_bytes(b"of the user")
    (study.folder / "link.png").symlink_to(elsewhere)
    for name in ("unlisted", "link", "hand_1"):
        assert "never replaced" in refusal(lambda name=name: store.add_image(name, str(sent), {}))
    assert (study.folder / "unlisted.png").read_bytes() == b"of the user" and not elsewhere.exists()
    for name in ("unlisted", "link"):
        (study.folder / f"{name}.png").unlink()

    markups = tmp_path / "points.mrk.json"
    markups.write_text(json.dumps(study.markups("hand_1")), encoding="utf-8")
    for tag in ("Final", "FINAL", "a/b", "", ".."):
        assert "small letters" in refusal(lambda tag=tag: store.save_label("hand_1", str(markups), tag, {}))
    label = study.folder / "labels" / "final" / "hand_1.mrk.json"
    label.write_bytes(b"of the user")
    assert "names no version" in refusal(lambda: store.save_label("hand_1", str(markups), "final", {}))
    store.save_label("hand_1", str(markups), "final", {"replaces": version_of(label)})
    (kept,) = label.parent.glob("replaced/hand_1.*")
    assert kept.read_bytes() == b"of the user" and label.read_bytes() == markups.read_bytes()
    store.remove_label("hand_1", "final")


def test_the_server_empties_no_folder_of_the_user(tmp_path: Path) -> None:
    for name in ("tmp", "models", "logs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"of the user")
    line = [sys.executable, "-c", PROGRAM, "--studies", str(tmp_path), "--app_dir", str(tmp_path)]
    subprocess.run(line, cwd=ROOT, check=True, timeout=600, capture_output=True)
    assert {path.read_bytes() for path in tmp_path.glob("*/file")} == {b"of the user"}
    assert len(list(tmp_path.glob("*/file"))) == 3


def test_readers_never_see_a_half_read_study(study: Study) -> None:
    store = StudyDatastore(str(study.folder), model_names=lambda: None, auto_reload=False)
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(len(store.list_images()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        store.refresh()
    done.set()
    reader.join()
    assert seen == {len(study.truth)}


def test_names_of_the_model_bind_the_first_annotation(study: Study, tmp_path: Path) -> None:
    store = StudyDatastore(str(study.folder), model_names=lambda: ("a", "b"), auto_reload=False)
    file = tmp_path / "points.mrk.json"
    file.write_text(json.dumps(study.markups("hand_2")), encoding="utf-8")
    assert "the 2 of the trained model were expected" in refusal(
        lambda: store.save_label("hand_2", str(file), "final", {})
    )


def test_a_predictor_without_anything_to_match_to(study: Study, tmp_path: Path) -> None:
    predictor = Predictor(make_app_folder(tmp_path / "app"), [], lambda: None)
    assert "annotate one image" in refusal(lambda: predictor.predict(study.image("hand_1"), "hand_1"))


def test_an_annotation_that_changes_is_used_at_once(study: Study, tmp_path: Path) -> None:
    label = tmp_path / "hand_0.mrk.json"
    label.write_text(json.dumps(study.markups("hand_0")), encoding="utf-8")
    template = AnnotatedImage("hand_0", study.image("hand_0"), label)
    predictor = Predictor(make_app_folder(tmp_path / "app"), [], lambda: template)
    before = predictor.predict(study.image("hand_4"), "hand_4").points
    label.write_text(json.dumps(study.markups("hand_0", shift=(12.0, 0.0))), encoding="utf-8")
    moved = predictor.predict(study.image("hand_4"), "hand_4").points - before
    assert 6 < np.median(moved[:, 0]) < 18


def test_parameters() -> None:
    read = partial(validate, InferenceParameters, where="inference")
    assert read({"device": "cpu"}).device == read({"device": ["cpu"]}).device == "cpu"
    assert read({}).device in ("cpu", "cuda")
    assert read({"save_label": "true", "skip_writer": True}).save_label and not read({"save_label": False}).save_label
    assert "device is 'tpu'" in refusal(lambda: read({"device": "tpu"}))
    assert "save_label is 'maybe', expected true or false" in refusal(lambda: read({"save_label": "maybe"}))
    found = read_training({"model": "m", "client_id": "c", "max_epochs": 2, "template": ""}, ["a"])
    assert (found.max_epochs, found.template) == (2, ())
    assert read_training({"template": "a"}, ["a", "b"]).template == ("a",)
    assert read_training({"template": ["b", "a"]}, ["a", "b"]).template == ("b", "a")
    for wrong in ("c", ["a", "c"], [["a"]], 7):
        assert "template is" in refusal(lambda wrong=wrong: read_training({"template": wrong}, ["a", "b"]))
    assert "expected each image once" in refusal(lambda: read_training({"template": ["a", "a"]}, ["a", "b"]))
    assert "max_epochs is True" in refusal(lambda: read_training({"max_epochs": True}, ["a"]))
    assert "training has no key 'speed'" in refusal(lambda: read_training({"speed": 1}, ["a"]))
    assert "no annotated image" in refusal(lambda: read_training({}, []))
    assert "the overlay nowhere.json is no file" in refusal(lambda: read_overlays("nowhere.json"))
