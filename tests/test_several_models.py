"""One folder and several models: every image goes to the right one."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bundle.model import PosedInferer
from bundle.several_models import SeveralModels
from tests.conftest import Sample, Trained
from tests.workflows.running import TINY_NETWORK, refusal, run, train

REAL = Path(os.environ.get("OSL_REAL_DATA", ""))


def texture(seed: int) -> np.ndarray:
    """Something that is no hand: blots of several sizes, (320, 256), 0 to 1."""
    rng = np.random.default_rng(seed)
    blots = sum(width * ndimage.gaussian_filter(rng.normal(size=(320, 256)), width) for width in (2.0, 5.0, 12.0))
    return (blots - blots.min()) / np.ptp(blots)


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)
    return path


def sorted_into(folder: Path) -> dict[str, str]:
    with (folder / "kinds.csv").open(encoding="utf-8") as file:
        return {row["file"]: row["model"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def blots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of textures."""
    folder = tmp_path_factory.mktemp("blots")
    save(folder / "template.png", texture(0))
    (folder / "points.csv").write_text("name,x,y\nA,60,70\nB,180,90\nC,120,230\n", encoding="utf-8")
    template = {"template_image": folder / "template.png", "template_landmarks": folder / "points.csv"}
    train(**template, network=TINY_NETWORK, model_path=folder / "blots.pt", output_dir=folder / "training")
    return folder / "blots.pt"


@pytest.fixture
def mixed(small: Sample, tmp_path: Path) -> Path:
    """Hands, textures, something else, and a file that is no image."""
    folder = tmp_path / "mixed"
    (folder / "more").mkdir(parents=True)
    for file in small.images.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    like = np.clip(0.9 * texture(0) + np.random.default_rng(1).normal(0, 0.02, (320, 256)), 0, 1)
    save(folder / "more" / "a.png", like)
    save(folder / "more" / "turned.png", np.rot90(like[:, ::-1]))
    save(folder / "stranger.png", texture(7))
    (folder / "broken.png").write_text("no image", encoding="utf-8")
    return folder


def test_every_image_goes_to_the_right_model_or_to_none(
    trained: Trained, blots: Path, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"model_path": [str(trained.model), str(blots)], "output_dir": tmp_path / "out", "dataset_dir": mixed}
    with pytest.raises(SystemExit) as ended:
        run("inference", "several_models", **settings, report=False, writers=["json"])
    assert ended.value.code == 1  # the broken file
    hands = {file.name: "model" for file in mixed.glob("*.dcm")}
    wanted = {**hands, "more/a.png": "blots", "more/turned.png": "blots", "stranger.png": ""}
    assert sorted_into(tmp_path / "out") == wanted
    assert (tmp_path / "out" / "kinds.csv").read_text(encoding="utf-8").splitlines()[1].startswith("stranger.png,,")
    assert "broken.png" in (tmp_path / "out" / "errors.csv").read_text(encoding="utf-8")
    for model, names in (("model", sorted(Path(name).stem for name in hands)), ("blots", ["a", "turned"])):
        with (tmp_path / "out" / model / "landmarks.csv").open(encoding="utf-8") as file:
            assert sorted(row["image"] for row in csv.DictReader(file)) == names
    found = json.loads((tmp_path / "out" / "blots" / "turned.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in found["landmarks"]] == ["A", "B", "C"]
    assert found["pose"]["kind"] == "template"
    assert "1 image(s) of no model's kind" in capsys.readouterr().out


def test_a_killed_run_does_not_sort_again(
    trained: Trained, blots: Path, small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model_path": [str(trained.model), str(blots)], "dataset_dir": small.images, "report": False}

    def start() -> None:
        run("inference", "several_models", **settings, writers=["json"], output_dir=tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(SeveralModels, "_infer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            start()
    notes = sorted((tmp_path / ".run").glob("*.json"))
    assert len(notes) == len(list(small.images.iterdir()))
    notes[0].write_bytes(notes[0].read_bytes()[:9])
    looked, look = [], PosedInferer.poses
    with monkeypatch.context() as patch:
        patch.setattr(PosedInferer, "poses", lambda *given: looked.append(given) or look(*given))
        start()
    assert len(looked) == 2, "only the image whose note is damaged, by each of the two models"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blots.json",
        "errors.csv",
        "kinds.csv",
        "model",
        "model.json",
    ]
    assert set(sorted_into(tmp_path).values()) == {"model"}
    (tmp_path / ".run").write_text("no folder", encoding="utf-8")
    assert "cannot be written (" in refusal(start)


def test_what_becomes_of_images_of_no_kind(trained: Trained, blots: Path, tmp_path: Path) -> None:
    save(tmp_path / "stranger.png", texture(7))
    settings = {"model_path": [str(trained.model), str(blots)], "dataset_dir": tmp_path / "stranger.png"}
    with pytest.raises(SystemExit) as ended:
        run("inference", "several_models", **settings, output_dir=tmp_path / "refused", other_kinds="refuse")
    assert ended.value.code == 2
    assert "of no model's kind" in (tmp_path / "refused" / "errors.csv").read_text(encoding="utf-8")
    quick = {"report": False, "writers": ["json"]}
    run("inference", "several_models", **settings, **quick, output_dir=tmp_path / "kept", other_kinds="ignore")
    home = sorted_into(tmp_path / "kept")["stranger.png"]
    assert (tmp_path / "kept" / home / "stranger.json").is_file()


def test_settings_that_cannot_be_meant(trained: Trained, small: Sample, tmp_path: Path) -> None:
    two = [str(trained.model), str(trained.model)]
    places = {"dataset_dir": small.images, "output_dir": tmp_path / "out"}
    assert "overlay configs/several_models.json" in refusal(lambda: run("inference", model_path=two, **places))
    one = refusal(lambda: run("inference", "several_models", model_path=trained.model, **places))
    assert "this configuration is for several models" in one
    of_one = {"reference_length": {"landmarks": [0, 1], "millimetres": 50}}
    said = refusal(lambda: run("inference", "several_models", model_path=two, **places, **of_one))
    assert said.startswith("reference_length is for the landmarks of one model")
    bare = tmp_path / "bare.pt"
    template = {"template_image": small.image, "template_landmarks": small.landmarks}
    train(**template, network=TINY_NETWORK, model_path=bare, output_dir=tmp_path / "training", keep_images=False)
    said = refusal(lambda: run("inference", "several_models", model_path=[*two[:1], str(bare)], **places))
    assert "was saved without its images" in said
    run("inference", "several_models", model_path=[*two[:1], "other.pt"], **places, dry_run=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("OSL_REAL_DATA"), reason="OSL_REAL_DATA does not name the radiographs")
def test_heads_and_hands(tmp_path: Path) -> None:
    heads, hands, mixed = REAL / "isbi2015", REAL / "hand", tmp_path / "mixed"
    templates = {
        "heads": (heads / "images" / "125.jpg", heads / "landmarks_mean.csv"),
        "hands": (hands / "images" / "3229.png", hands / "landmarks.csv"),
    }
    for name, (image, landmarks) in templates.items():
        model = {"model_path": tmp_path / f"{name}.pt", "output_dir": tmp_path / "training"}
        train(template_image=image, template_landmarks=landmarks, network=TINY_NETWORK, **model)
    mixed.mkdir()
    wanted = {f"{number:03d}.jpg": "heads" for number in (1, 50, 149)}
    wanted |= {file.name: "hands" for file in (hands / "images").iterdir()}
    for name, home in wanted.items():
        (mixed / name).symlink_to((heads if home == "heads" else hands) / "images" / name)
    models = [str(tmp_path / f"{name}.pt") for name in templates]
    quick = {"report": False, "writers": [], "network": {}}
    run("inference", "several_models", model_path=models, dataset_dir=mixed, output_dir=tmp_path / "out", **quick)
    assert sorted_into(tmp_path / "out") == wanted
