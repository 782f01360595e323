"""What to look at next, and how large the error is said to be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.records.prediction import annotated
from bundle.records.radiograph import Radiograph
from study import FINAL, Landmark, Mark, Protocol, Study
from study.estimate import curve, foresee
from study.exchange import bring_in, export
from study.proposals import Proposal, Proposals
from study.queue import rank
from tests.study.test_folder import refusal

NAMES = ("left", "right", "top", "bottom", "middle")
SHAPE = np.array([[10.0, 50.0], [90.0, 50.0], [50.0, 10.0], [50.0, 90.0], [55.0, 52.0]])
PROTOCOL = Protocol(landmarks=tuple(Landmark(name=name) for name in NAMES), pairs=(("left", "right"),))


def proposal(name: str, points: np.ndarray = SHAPE, error: float = 2.0, confidence: float = 0.9) -> Proposal:
    noise = np.random.default_rng(len(name) + ord(name[-1])).normal(0, 0.5, points.shape)
    errors = np.full(len(NAMES), error)
    image = Radiograph(np.zeros((100, 100), np.float32), Path(f"{name}.png"), spacing=(0.5, 0.5))
    found = annotated(NAMES, points + noise, image, name, errors)
    return Proposal(**vars(replace(found, confidence=np.full(len(NAMES), confidence))), source="")


def test_the_worst_comes_first_with_its_reason() -> None:
    usual = [proposal(f"usual{index}") for index in range(8)]
    turned = SHAPE @ np.array([[0.8, 0.6], [-0.6, 0.8]]) * 1.5 + 20
    bent = SHAPE.copy()
    bent[2] += 30
    rows = rank(
        [
            *usual,
            proposal("far", error=9.0),
            proposal("swapped", SHAPE[[1, 0, 2, 3, 4]]),
            proposal("bent", bent),
            proposal("unlike", confidence=0.2),
            proposal("turned", turned),
        ],
        PROTOCOL,
        [SHAPE],
    )
    reasons = {row.image_id: row.reasons for row in rows}
    assert {row.image_id for row in rows[:4]} == {"far", "swapped", "bent", "unlike"}
    assert reasons["far"] == ("error",) and "swapped" in reasons["swapped"]
    assert reasons["bent"] == ("shape",) and reasons["unlike"] == ("unlike",)
    assert reasons["turned"] == (), "turned, scaled and moved is the same shape"
    far = next(row for row in rows if row.image_id == "far")
    assert far.expected == pytest.approx(4.5) and far.unit == "mm"


def test_what_is_not_known_is_no_reason() -> None:
    unknown = replace(proposal("a"), expected_error=np.full(5, np.nan), points=np.full((5, 2), np.nan))
    (row,) = rank([unknown], PROTOCOL, [])
    assert row.worst is None and row.reasons == ()
    assert rank([], PROTOCOL, []) == []


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = tmp_path / "study"
    folder.mkdir()
    for index in range(4):
        grey = np.random.default_rng(index).integers(0, 255, (100, 100), dtype=np.uint8)
        Image.fromarray(grey).save(folder / f"image{index}.png")
    found = Study(folder)
    found.save_protocol(PROTOCOL)
    for index in range(3):
        marks = [Mark(name, (float(x), float(y)), "placed") for name, (x, y) in zip(NAMES, SHAPE)]
        found.save_marks(f"image{index}", marks, FINAL, "")
    return found


def test_what_is_expected_is_corrected_by_what_the_next_training_has_seen(study: Study) -> None:
    found = [proposal("a", error=2.0), proposal("b", error=4.0)]
    foresee(study, 1, 1.0, 1.0, found)
    assert curve(study) == [(1, pytest.approx(1.5), "mm")]
    foresee(study, 2, 0.8, 1.3, found[:1])
    assert len(curve(study)) == 1, "two templates have not told of a third"
    foresee(study, 3, 0.3, 0.4, [replace(found[0], spacing=None)])
    expected = 1.0 / 0.8 * 0.4  # by three images, of which two were worse than expected by 0.3
    assert curve(study)[1:] == [(2, pytest.approx(expected / (1 + 0.3 * 2 / 3)), "mm")]
    foresee(study, 4, 0.4, 0.5, found)
    assert curve(study)[2:] == [(3, pytest.approx(2.0 / 0.3 * 0.5 / (1 + 0.3 * 2 / 4)), "px")]
    foresee(study, 2, 0.7, 0.9, found)
    assert [count for count, *_ in curve(study)] == [1], "one was taken out"


def test_what_was_found_goes_out_with_all_that_is_known_of_it(study: Study) -> None:
    proposals = Proposals(study)
    for name in ("image0", "image3"):
        proposals.save(name, proposal(name), "elsewhere")
    new, known = proposals.get("image3"), proposals.get("image0", NAMES)
    assert new is not None and known is not None and proposals.get("image0", NAMES[::-1]) is None
    accepted = {"image0": SHAPE, "image1": SHAPE}
    measured, truths = proposals.of_accepted(NAMES, accepted)
    assert measured == [known] and np.array_equal(truths, SHAPE[None])
    points = {"image0": study.marks("image0") or [], "image3": new.marks(NAMES)}
    export(study, PROTOCOL, points, ["json", "report"], accepted=accepted)
    rows = json.loads((study.own / "export" / "image3.json").read_text(encoding="utf-8"))["landmarks"]
    assert {(row["confidence"], row["expected_error_px"]) for row in rows} == {(0.9, 2.0)}
    rows = json.loads((study.own / "export" / "image0.json").read_text(encoding="utf-8"))["landmarks"]
    assert {row["confidence"] for row in rows} == {None}, "a person's"
    page = (study.own / "export" / "report.html").read_text(encoding="utf-8")
    assert "Evaluation of 1 image" in page and "image0" in page
    export(study, PROTOCOL, {"image3": new.marks(NAMES)}, ["report"])
    assert "Inference of 1 image" in (study.own / "export" / "report.html").read_text(encoding="utf-8")
    export(study, PROTOCOL, {"image1": study.marks("image1") or []}, ["report"])
    assert "nothing was found" in (study.own / "export" / "notes.csv").read_text(encoding="utf-8")


def test_out_and_in_again(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", exc_type=ImportError, reason="it needs pydicom 3")
    points = {case.image_id: study.marks(case.image_id) or [] for case in study.annotated()}
    files = {path.name for path in export(study, PROTOCOL, points, ["csv", "markups", "json", "coco", "overlay", "sr"])}
    assert files == {
        "landmarks.csv",
        "keypoints.json",
        "notes.csv",
        *(f"image{index}{ending}" for index in range(3) for ending in (".json", ".mrk.json", ".png")),
    }
    folder = study.own / "export"
    assert (study.own / "export.zip").is_file() and "image0,sr," in (folder / "notes.csv").read_text(encoding="utf-8")
    for name in ("image1.mrk.json", "image1.json", "landmarks.csv"):
        assert "image1" in bring_in(study, PROTOCOL, folder / name)
        draft = study.marks("image1", "draft")
        assert draft is not None and np.allclose([mark.point for mark in draft], SHAPE, atol=1e-3)
    shapes = [
        f'{{"label": "{n}", "shape_type": "point", "points": [[{x + 0.5}, {y + 0.5}]]}}'
        for n, (x, y) in zip(NAMES, SHAPE)
    ]
    (tmp_path / "image3.json").write_text(f'{{"shapes": [{", ".join(shapes)}]}}', encoding="utf-8")
    assert bring_in(study, PROTOCOL, tmp_path / "image3.json") == ["image3"]
    draft = study.marks("image3", "draft")
    assert draft is not None and np.allclose([mark.point for mark in draft], SHAPE, atol=1e-6)
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert "no image 'other'" in refusal(lambda: bring_in(study, PROTOCOL, tmp_path / "other.json"))
