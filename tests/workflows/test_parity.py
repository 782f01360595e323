"""The preset ``paper`` beside the paper's public code: points that it found, and what a literal version of it finds."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from bundle.io.radiographs import read_radiograph
from bundle.io.template import read_template
from bundle.model.checkpoint import read_checkpoint, write_checkpoint
from tests.conftest import Sample
from tests.reference.channels import public_weight
from tests.reference.full_size import FullSize, LiteralTransformer, local_iteration, with_public_weights
from tests.reference.matching import Match
from tests.reference.prediction import Pipeline, predict
from tests.reference.ruled_weights import ruled, write_ruled
from tests.workflows.running import ROOT, TINY_PAPER_NETWORK, TINY_PAPER_TRAINING, content, run

REAL = Path(os.environ.get("OSL_REAL_DATA", "")) / "isbi2015"
PUBLIC_POINTS = ROOT / "tests" / "reference" / "public_points.json"

ENCODER = TINY_PAPER_NETWORK["encoder"]
CHANNELS = TINY_PAPER_NETWORK["global_channels"]


def import_checkpoint(files: Mapping[str, Path], template: Path, landmarks: Path, output: Path, *options: str) -> Path:
    """By the script, as its users do."""
    import import_fmosd_checkpoint as script

    given = [files["global"], files["local"], "--template_image", template, "--template_landmarks", landmarks]
    line = [*given, "--encoder_weights", files["encoder"], "--output", output, *options]
    assert script.main([str(part) for part in line]) == 0
    return output


def coarse_only(model: Path) -> Path:
    """The same checkpoint without its local decoder."""
    checkpoint = read_checkpoint(model)
    decoders = {name: value for name, value in checkpoint.decoders.items() if not name.startswith("local_decoder.")}
    network = {**checkpoint.network, "local_channels": 0}
    return write_checkpoint(model.with_name("coarse.pt"), replace(checkpoint, decoders=decoders, network=network))


def found_points(images: Path, output: Path, **settings: Any) -> dict[str, np.ndarray]:
    """By the command, with the paper's overlays: for each image (N, 4), x, y, similarity and back-matching error."""
    run("inference", "paper", "head", dataset_dir=images, output_dir=output, writers=["json"], **settings)
    keys = ("x", "y", "similarity", "back_match_error_px")
    documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in output.glob("*.json")}
    return {
        name: np.array([[landmark[key] for key in keys] for landmark in document["landmarks"]])
        for name, document in documents.items()
    }


@pytest.mark.real_data
@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    not os.environ.get("OSL_REAL_DATA") or not REAL.is_dir(), reason="OSL_REAL_DATA does not name the cephalograms"
)
def test_the_points_that_the_public_code_found(tmp_path: Path) -> None:
    """Template 125, two images, 19 landmarks: each within a rounding of what the authors' own code found."""
    shapes = {name: tuple(value.shape) for name, value in timm_state("vit_small_patch8_224.dino").items()}
    files = write_ruled(tmp_path, shapes, 6528, 256)
    template, landmarks = REAL / "images" / "125.jpg", REAL / "landmarks_mean.csv"
    model = import_checkpoint(files, template, landmarks, tmp_path / "model.pt")
    expected = json.loads(PUBLIC_POINTS.read_text(encoding="utf-8"))
    (tmp_path / "images").mkdir()
    for name in expected:
        shutil.copy(REAL / "images" / f"{name}.jpg", tmp_path / "images")
    different = {}
    for stage, path in (("coarse", coarse_only(model)), ("final", model)):
        settings = {"model_path": path, "encoder_weights": files["encoder"]}
        for name, points in found_points(tmp_path / "images", tmp_path / stage, **settings).items():
            distances = np.linalg.norm(points[:, :2] - np.array(expected[name][stage]), axis=1)
            different[f"{name} {stage}"] = int((distances > 0.51).sum())
    assert different == {"001 coarse": 0, "075 coarse": 0, "001 final": 0, "075 final": 0}


def timm_state(name: str) -> dict[str, Tensor]:
    return timm.create_model(name, num_classes=0).state_dict()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a tiny transformer and of small decoders, by the rule."""
    shapes = {name: tuple(value.shape) for name, value in timm_state(ENCODER["name"]).items()}
    return write_ruled(tmp_path_factory.mktemp("weights"), shapes, 17 * shapes["cls_token"][-1], CHANNELS)


@pytest.fixture(scope="module")
def eight_bit(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The simulated radiographs as files of 8 bits, with a template's landmarks on whole pixels."""
    folder = tmp_path_factory.mktemp("eight_bit")
    images = folder / "images"
    images.mkdir()
    for path in (small.image, *sorted(small.images.glob("*.dcm"))[:2]):
        grey = np.round(read_radiograph(path).pixels * 200 + 20).astype(np.uint8)
        Image.fromarray(grey).save((folder if path == small.image else images) / f"{path.stem}.png")
    found = read_template(small.image, small.landmarks).landmarks
    rows = [f"{name},{int(x)},{int(y)}" for name, (x, y) in zip(found.names, found.points)]
    (folder / "landmarks.csv").write_text("\n".join(["name,x,y", *rows]) + "\n", encoding="utf-8")
    return Sample(folder, folder / f"{small.image.stem}.png", folder / "landmarks.csv", images, small.truth)


def literal_encoder(files: Mapping[str, Path]) -> Any:
    model = timm.create_model(ENCODER["name"], num_classes=0, dynamic_img_size=True).eval()
    model.load_state_dict(torch.load(files["encoder"]))
    return model


def literal_pipeline(files: Mapping[str, Path]) -> Pipeline:
    """What the public code does, step by step, with the weights as its files have them, in double precision."""
    model = literal_encoder(files).double()
    in_global, in_local = ({k: v.double() for k, v in torch.load(files[name]).items()} for name in ("global", "local"))
    return Pipeline(
        model=model,
        stride=ENCODER["stride"],
        block=ENCODER["block"],
        short_side=TINY_PAPER_NETWORK["working_sides"][0],
        window=TINY_PAPER_NETWORK["local_window"],
        global_weight=in_global["conv_out.weight"],
        global_bias=in_global["conv_out.bias"],
        local={name.replace("conv_out2", "conv"): value for name, value in in_local.items()},
        mean=model.pretrained_cfg["mean"],
        std=model.pretrained_cfg["std"],
    )


def literal_points(pipeline: Pipeline, sample: Sample) -> dict[str, list[Match]]:
    lines = sample.landmarks.read_text(encoding="utf-8").splitlines()[1:]
    landmarks = [(int(x), int(y)) for _, x, y in (line.split(",") for line in lines)]

    def opened(path: Path) -> Tensor:
        return torch.from_numpy(np.asarray(Image.open(path)) / 255.0)

    template = opened(sample.image)
    return {
        path.stem: predict(pipeline, template, landmarks, opened(path), 3) for path in sorted(sample.images.iterdir())
    }


@pytest.mark.slow
def test_the_points_of_the_literal_version(files: dict[str, Path], eight_bit: Sample, tmp_path: Path) -> None:
    """From files to files, wherever no decision hangs on a difference that single precision cannot hold."""
    (tmp_path / "tiny.json").write_text(
        json.dumps(
            {
                "network": {**TINY_PAPER_NETWORK, "grey_values": "eight_bit"},
                "matching": {"strategy": "paper", "k": 3, "subpixel": False},
            }
        )
    )
    model = tmp_path / "model.pt"
    import_checkpoint(files, eight_bit.image, eight_bit.landmarks, model, "--config_file", str(tmp_path / "tiny.json"))
    pipeline = literal_pipeline(files)
    for stage, path in (("coarse", coarse_only(model)), ("final", model)):
        settings = {"model_path": path, "encoder_weights": files["encoder"], "network": {"encoder": ENCODER}}
        found = found_points(eight_bit.images, tmp_path / stage, **settings)
        expected = literal_points(replace(pipeline, local=None) if stage == "coarse" else pipeline, eight_bit)
        assert sorted(found) == sorted(expected) and len(found) == 2
        pairs = [pair for name, matches in expected.items() for pair in zip(found[name].tolist(), matches, strict=True)]
        clear = [(point, match) for point, match in pairs if match.margin > 1e-6]
        assert len(clear) >= 12, "too few clear decisions to tell anything"
        for (x, y, similarity, error), match in clear:
            assert [x, y] == [match.x, match.y], stage
            assert similarity == pytest.approx(match.similarity, abs=6e-5), stage
            assert error == pytest.approx(match.error, abs=1e-3), stage


@pytest.fixture(scope="module")
def training(files: dict[str, Path], eight_bit: Sample, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Network, stage, warps and loss of the local stage, as ``train_decoders.json`` makes them."""
    return content(
        "train_decoders",
        "paper",
        "head",
        get=["network_def", "train#stage", "train#dataset", "train#loss"],
        kind="train",
        **TINY_PAPER_TRAINING
        | {
            "network": {**TINY_PAPER_NETWORK, "grey_values": "eight_bit"},
            "encoder_weights": files["encoder"],
            "output_dir": tmp_path_factory.mktemp("training"),
            "local_jitter": 20,
        },
        **eight_bit.template,
    )


def test_warps_are_as_the_public_code_keeps_them(training: list[Any]) -> None:
    """As files of 8 bits, with landmarks on whole pixels."""
    _, _, warps, _ = training
    points, images = (torch.stack([warps[index][key] for index in range(4)]) for key in ("landmarks", "image"))
    assert torch.equal(points, points.round()) and not torch.equal(points[0], points[1])
    torch.testing.assert_close(images * 255, (images * 255).round(), rtol=0, atol=1e-4)


def test_a_step_of_the_local_stage_is_that_of_the_literal_version(training: list[Any], files: dict[str, Path]) -> None:
    """From warps to gradients: four warps of eight landmarks, one landmark's four crops after the other's."""
    network, stage, warps, loss_function = training
    network.local_decoder.load_state_dict(imported_local(network))
    heads, window = network.encoder.heads, network.settings.local_window
    literal = with_public_weights(network.local_decoder, heads)
    method = FullSize(
        LiteralTransformer(literal_encoder(files), ENCODER["stride"], ENCODER["block"]),
        network.global_decoder.conv,
        literal.up.train(),
        literal.conv,
        window=window,
    )
    stage.train()
    items = [warps[index] for index in range(4)]
    encoded = [stage.encode(item, index) for index, item in enumerate(items)]
    cells = torch.stack([cells[:, 0] for _, cells in encoded])
    loss = loss_function(stage(torch.cat([features for features, _ in encoded])), cells.reshape(-1, 1, 2))
    loss.backward()

    crops = torch.stack([literal_crops(item, own, window) for item, own in zip(items, cells)])
    parts = nn.ModuleList([method.up, method.local_conv])
    expected = local_iteration(method, crops, cells, 2.0, torch.optim.SGD(parts.parameters(), lr=0.0))
    assert abs(loss.item() - expected) < 1e-6
    for name, ours in network.local_decoder.named_parameters():
        theirs = literal.get_parameter(name).grad
        gradient = public_weight(ours.grad, 0, network.binning.bins, heads) if name == "up.0.weight" else ours.grad
        if name == "up.0.bias":  # whatever is added before a batch normalisation is taken off by it
            assert float(gradient.norm()) < 1e-6 and float(theirs.norm()) < 1e-6
        else:
            assert float((gradient - theirs).norm() / theirs.norm()) < 1e-4, name
    for ours, theirs in zip(network.local_decoder.buffers(), parts.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert network.local_decoder.up[1].num_batches_tracked == 8, "one update a landmark"


def imported_local(network: Any) -> dict[str, Tensor]:
    """Weights by the rule: of the right shapes, with nothing that happens to be zero."""
    state = network.local_decoder.state_dict()
    return {
        name: ruled(name, tuple(value.shape)) if value.is_floating_point() else value for name, value in state.items()
    }


def literal_crops(warp: Mapping[str, Tensor], cells: Tensor, window: int) -> Tensor:
    """(N, 1, S, S): what lies around each landmark so that it is at its cell, and nothing that is not in the image."""
    image = warp["image"][0]
    crops = []
    for landmark, cell in zip(warp["landmarks"], cells):
        left, top = (landmark - cell).int().tolist()
        assert 0 <= left <= image.shape[1] - window and 0 <= top <= image.shape[0] - window
        crops.append(image[top : top + window, left : left + window])
    return torch.stack(crops)[:, None]
