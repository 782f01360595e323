"""MONAI Label's own tasks take the bundle as it stands, from any folder."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask

from bundle.io.template import read_template
from label_server.app_folder import bundle_folder, make_app_folder
from tests.workflows.running import tiny_training, train
from tests.workflows.test_packaged_bundle import unpack

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def bundle(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle in an app's folder, with a trained model."""
    folder = make_app_folder(tmp_path_factory.mktemp("app"))
    out = tmp_path_factory.mktemp("training")
    template = {
        "template_image": phantoms / "template" / "phantom_000.dcm",
        "template_landmarks": phantoms / "template" / "landmarks.csv",
    }
    train(**tiny_training(**template), model_path=folder / "models" / "model.pt", output_dir=out)
    return folder


def test_stock_inference_task(bundle: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    task = BundleInferTask(str(bundle), conf={})
    assert task.is_valid()
    assert (task.key_image, task.key_pred, task.dimension) == ("image", "pred", 2)
    image = next((phantoms / "images").iterdir())
    data = {"image": str(image), "device": "cpu"}
    for transform in task.pre_transforms(data):
        data = transform(data)
    found = task.inferer(data)(data["image"][None], task.network)
    truth = read_template(phantoms / "template/phantom_000.dcm", phantoms / "template/landmarks.csv").landmarks
    assert found.shape == (1, len(truth), 7)
    assert torch.isfinite(found[..., :2]).all()
    assert sys.path == path


def test_stock_training_task(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = BundleTrainTask(str(bundle), conf={})
    assert task.is_valid()
    assert task.config()["model_filename"] == ["model.pt"]
    assert isinstance(task.bundle_config.get(task.const.key_train_handlers()), list), "MONAI Label puts a loader there"


#: What MONAI Label does with a bundle: its folder, and an image, are the arguments.
USES = """
import sys
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask

folder, image = sys.argv[1:]
task, data = BundleInferTask(folder, conf={}), {"image": image, "device": "cpu"}
for transform in task.pre_transforms(data):
    data = transform(data)
print(tuple(task.inferer(data)(data["image"][None], task.network).shape))
assert BundleTrainTask(folder, conf={}).is_valid()
assert sys.modules["bundle"].__file__.startswith(folder), sys.modules["bundle"].__file__
"""


def test_stock_tasks_of_an_unpacked_zip(bundle: Path, phantoms: Path, tmp_path: Path) -> None:
    handed_on = unpack(bundle / "models" / "model.pt", tmp_path)
    image = next((phantoms / "images").iterdir())
    done = handed_on.call("-c", USES, handed_on.folder, image)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^\(1, \d+, 7\)$", done.stdout, re.MULTILINE)


def test_the_folder_is_made_again_without_losing_the_model(bundle: Path) -> None:
    app_dir = bundle.parents[1]
    before = (bundle / "models" / "model.pt").read_bytes()
    assert make_app_folder(app_dir) == bundle == bundle_folder(app_dir)
    assert (bundle / "models" / "model.pt").read_bytes() == before
    (bundle / "configs").unlink()
    (bundle / "configs").symlink_to(app_dir)  # of a checkout that has moved
    make_app_folder(app_dir)
    assert (bundle / "configs" / "inference.json").is_file()
    shutil.rmtree(app_dir)


def test_versions_of_this_environment() -> None:
    assert np.__version__.startswith("1.26")
