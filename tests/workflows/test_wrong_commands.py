"""Wrong commands: each is one sentence that names the cure, exit status 2, and nothing is written.

They run as ``python -m monai.bundle`` does, in a fork of this process, which saves the imports; one of each kind runs
in a process of its own, too.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import bundle.handlers
import bundle.model
import bundle.training  # noqa: F401  what a run imports, once for all forks
from tests.conftest import Sample, Trained
from tests.workflows.forked import run_forked
from tests.workflows.running import CONFIGS, ROOT, TINY_NETWORK, environment


@dataclass(frozen=True)
class Place:
    """What there is to be wrong about.

    Attributes:
        sample: images, a template and tables of landmarks.
        model: a model trained on the template.
        other: a folder of other files: see :func:`place`.
        results: where right commands would write.
    """

    sample: Sample
    model: Path
    other: Path
    results: Path

    @property
    def template(self) -> list[object]:
        return ["--template_image", self.sample.image, "--template_landmarks", self.sample.landmarks]

    @property
    def images(self) -> list[object]:
        return ["--dataset_dir", self.sample.images]

    @property
    def truth(self) -> list[object]:
        return ["--landmarks", self.sample.truth]

    @property
    def trained(self) -> list[object]:
        return ["--model_path", self.model]

    def train(self, *words: object, files: tuple[object, ...] = ("train",)) -> list[object]:
        quick = ["--network", TINY_NETWORK]
        outputs = ["--output_dir", self.results / "training", "--model_path", self.results / "model.pt"]
        return ["run", "training", *configured(*files), *quick, *outputs, *words]

    def infer(self, *words: object, files: tuple[object, ...] = ("inference",)) -> list[object]:
        return ["run", "inference", *configured(*files), "--output_dir", self.results, *words]

    def evaluate(self, *words: object, files: tuple[object, ...] = ("evaluate",)) -> list[object]:
        return ["run", "evaluation", *configured(*files), "--output_dir", self.results, *words]


def configured(*files: object) -> list[object]:
    paths = [str(CONFIGS / f"{name}.json") if isinstance(name, str) else str(name) for name in files]
    return ["--config_file", paths[0] if len(paths) == 1 else paths]


@pytest.fixture(scope="module")
def place(small: Sample, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Place:
    other = tmp_path_factory.mktemp("other")
    for name in ("empty", "template_only"):
        (other / name).mkdir()
    shutil.copy(small.image, other / "template_only" / "copy.dcm")
    header, first, *rest = small.landmarks.read_text(encoding="utf-8").splitlines()
    name = first.split(",")[0]
    texts = {
        "text.txt": "no image\n",
        "args.json": json.dumps({"modle_path": "model.pt"}),
        "overlay.json": json.dumps({"dataset_folder": "images"}),
        "object.json": json.dumps({"pictures": ["a.png"]}),
        "outside.csv": "\n".join([header, f"{name},5000,20", *rest]),
        "fewer.csv": "\n".join([header, *rest]),
    }
    for file, text in texts.items():
        (other / file).write_text(text, encoding="utf-8")
    torch.save({"weights": torch.zeros(1)}, other / "weights.pt")
    return Place(small, trained.model, other, other / "none" / "results")


#: What is wrong, the command, and what the sentence has to say.
WRONG: dict[str, tuple[Callable[[Place], list[object]], tuple[str, ...]]] = {
    # misspelt
    "template_landmark": (
        lambda p: p.train("--template_image", p.sample.image, "--template_landmark", p.sample.landmarks),
        ("did you mean template_landmarks?",),
    ),
    "modle_path": (lambda p: p.infer(*p.images, "--modle_path", p.model), ("did you mean model_path?",)),
    "dataset": (lambda p: p.infer(*p.trained, "--dataset", p.sample.images), ("--dataset_dir",)),
    "dataset_folder": (lambda p: p.infer("--dataset_folder", p.sample.images), ("did you mean dataset_dir?",)),
    "landmark": (
        lambda p: p.evaluate(*p.trained, *p.images, "--landmark", p.sample.truth),
        ("did you mean landmarks?",),
    ),
    "ouput_dir": (lambda p: p.infer(*p.trained, *p.images, "--ouput_dir", "x"), ("did you mean output_dir?",)),
    "writer": (lambda p: p.infer(*p.trained, *p.images, "--writer", "json"), ("did you mean writers?",)),
    "epochs": (
        lambda p: p.train(*p.template, "--epochs", 3, files=("train_decoders",)),
        ("did you mean local_epochs?",),
    ),
    "sdr_radius": (
        lambda p: p.evaluate(*p.trained, *p.images, *p.truth, "--sdr_radius", "[2]"),
        ("did you mean sdr_radii?",),
    ),
    "dry-rnu": (lambda p: p.infer(*p.trained, *p.images, "--dry-rnu"), ("did you mean dry_run?",)),
    "max_epoch of the trainer": (
        lambda p: p.train(*p.template, "--train#trainer#max_epoch", 3),
        ("trainer of train", "did you mean max_epochs?"),
    ),
    "weight_dcay of the optimiser": (
        lambda p: p.train(*p.template, "--optimizer#weight_dcay", 0.1, files=("train_decoders",)),
        ("optimizer of", "did you mean weight_decay?"),
    ),
    "working_size of the network": (
        lambda p: p.infer(*p.template, *p.images, "--network#working_size", "[320]"),
        ("did you mean working_side?",),
    ),
    "temprature of the matching": (
        lambda p: p.infer(*p.trained, *p.images, "--matching", "{'temprature': 0.1}"),
        ("did you mean temperature?",),
    ),
    "a setting of the args_file": (
        lambda p: p.infer(*p.images, "--args_file", p.other / "args.json"),
        ("did you mean model_path?",),
    ),
    "a key of an overlay": (
        lambda p: p.infer(*p.trained, *p.images, files=("inference", p.other / "overlay.json")),
        ("overlay.json has dataset_folder", "did you mean dataset_dir?"),
    ),
    "the run": (
        lambda p: ["run", "infering", *p.infer(*p.trained, *p.images)[2:]],
        ("infering is no run", "which has inference"),
    ),
    "an encoder": (
        lambda p: p.infer(*p.template, *p.images, "--network", "{'encoder': {'name': 'dino_vits9'}}"),
        ("dino_vits8",),
    ),
    "a writer": (
        lambda p: p.infer(*p.trained, *p.images, "--writers", "['json','pgn']"),
        ("json, markups, overlay",),
    ),
    # missing
    "no template": (
        lambda p: p.train(),
        ("python -m monai.bundle run training", "--template_image", "--template_landmarks"),
    ),
    "no landmarks of the template": (
        lambda p: p.train("--template_image", p.sample.image),
        ("has no landmarks", "--template_landmarks FILE"),
    ),
    "no image of the template": (lambda p: p.train("--template_landmarks", p.sample.landmarks), ("--template_image",)),
    "no image of the template of an inference": (
        lambda p: p.infer(*p.images, "--template_landmarks", p.sample.landmarks),
        ("--template_image",),
    ),
    "no images": (lambda p: p.infer(*p.trained), ("python -m monai.bundle run inference", "--dataset_dir")),
    "no images to evaluate": (lambda p: p.evaluate(*p.trained, *p.truth), ("--dataset_dir",)),
    "no truth": (
        lambda p: p.evaluate(*p.trained, *p.images),
        ("python -m monai.bundle run evaluation", "--landmarks"),
    ),
    "no model": (
        lambda p: p.infer(*p.images, "--bundle_root", p.other / "empty"),
        ("run training first", "--model_path", "--template_image"),
    ),
    "no value": (
        lambda p: p.train("--template_image", "--template_landmarks", p.sample.landmarks),
        ("--template_image is True", "write it after the option"),
    ),
    "no value at the end": (lambda p: p.infer(*p.trained, "--dataset_dir"), ("--dataset_dir is True",)),
    "one landmark file for two images": (
        lambda p: p.train(
            "--template_image", [str(p.sample.image)] * 2, "--template_landmarks", [str(p.sample.landmarks)]
        ),
        ("2 template images and 1 landmark files",),
    ),
    # swapped
    "image and landmarks of the template": (
        lambda p: p.train("--template_image", p.sample.landmarks, "--template_landmarks", p.sample.image),
        ("landmarks.csv holds no image",),
    ),
    "overlay and workflow": (
        lambda p: p.train(*p.template, files=("head", "train")),
        ("name the workflow first", "train.json'"),
    ),
    "two workflows": (
        lambda p: p.train(*p.template, files=("train", "inference")),
        ("train.json and", "give --config_file one of them"),
    ),
    "the training of an inference": (lambda p: p.train(*p.template, files=("inference",)), ("training is no run",)),
    "the inference of a training": (
        lambda p: ["run", "inference", *configured("train"), *p.template],
        ("inference is no run", "which has training"),
    ),
    "images and truth": (
        lambda p: p.evaluate(*p.trained, "--dataset_dir", p.sample.truth, "--landmarks", p.sample.images),
        ("holds no image",),
    ),
    "model and images": (
        lambda p: p.infer("--model_path", p.sample.images, "--dataset_dir", p.model),
        ("model.pt holds no image",),
    ),
    # of another kind
    "an image as the model": (lambda p: p.infer(*p.images, "--model_path", p.sample.image), ("is no checkpoint",)),
    "weights as the model": (
        lambda p: p.infer(*p.images, "--model_path", p.other / "weights.pt"),
        ("is not of the format",),
    ),
    "a text as the landmarks": (
        lambda p: p.train("--template_image", p.sample.image, "--template_landmarks", p.other / "text.txt"),
        (".mrk.json, .json, .csv, .dcm",),
    ),
    "an image as the landmarks": (
        lambda p: p.train("--template_image", p.sample.image, "--template_landmarks", p.sample.image),
        ("name the report with the landmarks",),
    ),
    "a list of another form": (
        lambda p: p.infer(*p.trained, "--dataset_dir", p.other / "object.json"),
        ("object.json holds no list of images",),
    ),
    "a table as the images": (
        lambda p: p.infer(*p.trained, "--dataset_dir", p.sample.truth),
        ("landmarks.csv holds no image", "give a DICOM, PNG"),
    ),
    "a model as the images": (lambda p: p.infer(*p.trained, "--dataset_dir", p.model), ("model.pt holds no image",)),
    "the landmarks of one image as the truth": (
        lambda p: p.evaluate(*p.trained, *p.images, "--landmarks", p.sample.landmarks),
        ("holds the landmarks of one image", "a row for each image"),
    ),
    "an image as the truth": (
        lambda p: p.evaluate(*p.trained, *p.images, "--landmarks", p.sample.image),
        ("name a .csv file",),
    ),
    "an image as the measurements": (
        lambda p: p.infer(*p.trained, *p.images, "--measurements", p.sample.image),
        ("docs/formats.md",),
    ),
    "measurements of other landmarks": (
        lambda p: p.infer(*p.trained, *p.images, "--measurements", CONFIGS / "measurements_cephalometry.json"),
        ("measurements_cephalometry.json",),
    ),
    "measurements as an overlay": (
        lambda p: p.infer(*p.trained, *p.images, files=("inference", "measurements_hand")),
        ("measurements_hand.json has",),
    ),
    "a table as the codes": (
        lambda p: p.infer(*p.trained, *p.images, "--landmark_codes", p.sample.truth),
        ("is no valid JSON",),
    ),
    "weights of an encoder that has its own": (
        lambda p: p.infer(*p.template, *p.images, "--encoder_weights", p.other / "weights.pt"),
        ("leave encoder_weights out",),
    ),
    "an image as weights": (
        lambda p: p.infer(
            *p.template,
            *p.images,
            *("--encoder_weights", p.sample.image, "--network", "{'encoder': {'name': 'dino_vits8'}}"),
        ),
        ("does not hold the weights",),
    ),
    # in another place
    "images that are not there": (
        lambda p: p.infer(*p.trained, "--dataset_dir", p.other / "none"),
        ("none does not exist", "check the path"),
    ),
    "a folder that is a number": (lambda p: p.infer(*p.trained, "--dataset_dir", 2024), ("2024 does not exist",)),
    "an empty folder": (lambda p: p.infer(*p.trained, "--dataset_dir", p.other / "empty"), ("has no image in it",)),
    "a folder of the template only": (
        lambda p: p.infer(*p.trained, "--dataset_dir", p.other / "template_only"),
        ("nothing but the template",),
    ),
    "a folder as the template": (
        lambda p: p.train("--template_image", p.other / "empty", "--template_landmarks", p.sample.landmarks),
        ("give the path of one image",),
    ),
    "landmarks that are not there": (
        lambda p: p.train("--template_image", p.sample.image, "--template_landmarks", "none.csv"),
        ("there is no file none.csv",),
    ),
    "results in a file": (
        lambda p: [*p.infer(*p.trained, *p.images), "--output_dir", p.other / "text.txt"],
        ("text.txt",),
    ),
    # that do not belong together
    "landmarks of a larger image": (
        lambda p: p.train("--template_image", p.sample.image, "--template_landmarks", p.other / "outside.csv"),
        ("lies outside the image of 256 x 320 pixels",),
    ),
    "a model and another template": (
        lambda p: p.infer(
            *p.trained,
            *p.images,
            *("--template_image", p.sample.image, "--template_landmarks", p.other / "fewer.csv"),
        ),
        ("leave out --template_image",),
    ),
    "the truth of other landmarks": (
        lambda p: p.evaluate(*p.trained, *p.images, "--landmarks", p.other / "fewer.csv"),
        ("holds the landmarks of one image",),
    ),
    "a model and another encoder": (
        lambda p: p.infer(*p.trained, *p.images, "--network", "{'encoder': {'name': 'dino_vits8'}}"),
        ("leave the encoder out",),
    ),
    # words that belong to nothing
    "writers as two words": (
        lambda p: p.infer(*p.trained, *p.images, "--writers", "json", "overlay"),
        ("overlay is no run", "['a','b']"),
    ),
    "images as many words": (
        lambda p: p.infer(*p.trained, "--dataset_dir", *["a.png"] * 3),
        ("a.png is no run", "['a','b']"),
    ),
    # values
    "text for a number": (lambda p: p.train(*p.template, "--seed", "many"), ("--seed is 'many', expected a number",)),
    "a seed below nothing": (
        lambda p: p.train(*p.template, "--seed", "-1"),
        ("seed is -1", "from 0 to 4294967295"),
    ),
    "a folder as the model to write": (
        lambda p: p.train(*p.template, "--model_path", p.other / "empty"),
        ("empty cannot be written, it is a folder",),
    ),
    "a model in a file": (
        lambda p: p.train(*p.template, "--model_path", p.other / "text.txt" / "model.pt", files=("train_decoders",)),
        ("model.pt cannot be written, nothing can be written into", "text.txt"),
    ),
    "text for yes or no": (
        lambda p: p.infer(*p.trained, *p.images, "--voi_lut", "perhaps"),
        ("--voi_lut is 'perhaps', expected True or False",),
    ),
    "a radius of nothing": (
        lambda p: p.evaluate(*p.trained, *p.images, *p.truth, "--sdr_radii", "[0]"),
        ("positive distances",),
    ),
    "one radius": (
        lambda p: p.evaluate(*p.trained, *p.images, *p.truth, "--sdr_radii", "2"),
        ("give for example [2.0, 2.5, 3.0, 4.0]",),
    ),
    "a device that nobody has": (
        lambda p: p.infer(*p.trained, *p.images, "--device", "gpu"),
        ("device is 'gpu'", "cuda:0"),
    ),
    "a length between landmarks that are not there": (
        lambda p: p.infer(*p.trained, *p.images, "--reference_length", "{'landmarks': [0, 99], 'millimetres': 50}"),
        ("[0, 99], but there are 8 landmarks",),
    ),
    "memory of less than nothing": (
        lambda p: p.infer(*p.trained, *p.images, "--crop_memory_gb", "-1"),
        ("crop_memory_gb is -1",),
    ),
    "a spacing of nothing": (
        lambda p: p.infer(*p.trained, *p.images, "--pixel_spacing", "0"),
        ("one positive number",),
    ),
    # what MONAI offers for other bundles
    "an export as TorchScript": (
        lambda p: [
            *("ckpt_export", "network_def", "--filepath", p.results / "model.ts", "--ckpt_file", p.model),
            *configured("inference"),
        ],
        ("scripts/export_onnx.py",),
    ),
    "an export for TensorRT": (
        lambda p: [
            *("trt_export", "network_def", "--filepath", p.results / "model.ts", "--ckpt_file", p.model),
            *(*configured("inference"), "--input_shape", [1, 1, 320, 320]),
        ],
        ("scripts/export_onnx.py",),
    ),
}


def assert_refused(finished: subprocess.CompletedProcess[str], *parts: str) -> None:
    everything = finished.stdout + finished.stderr
    assert finished.returncode == 2, everything[-3000:]
    assert "Traceback" not in everything
    (sentence,) = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert sentence.endswith((".", "?")) and "MONAI_DEBUG" not in sentence, sentence
    assert [part for part in parts if part not in sentence] == [], sentence


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_in_one_sentence_and_nothing_is_written(name: str, place: Place, tmp_path: Path) -> None:
    make, parts = WRONG[name]
    for name in ("here", "results"):
        (tmp_path / name).mkdir()
    words = [str(word) for word in make(replace(place, results=tmp_path / "results"))]
    assert_refused(run_forked("monai.bundle", words, tmp_path / "here", tmp_path), *parts)
    assert list((tmp_path / "here").iterdir()) == list((tmp_path / "results").iterdir()) == []


def test_so_it_is_in_a_process_of_its_own(place: Place) -> None:
    make, parts = WRONG["an image as the model"]
    line = [sys.executable, "-m", "monai.bundle", *map(str, make(place))]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240, check=False)
    assert_refused(done, *parts)
    assert not place.results.exists()
