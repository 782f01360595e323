"""Bringing images of any pose to the template's frame, with a stand-in that finds a dot, and with the real inferer."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from PIL import Image
from torch import Tensor

from bundle.data.readable import LoadRadiographd
from bundle.errors import ConfigError
from bundle.handlers import as_prediction
from bundle.io.template import read_template
from bundle.matching.settings import MatchingSettings
from bundle.model import PosedInferer, PosteriorInferer, zero_shot_model
from bundle.model.posed_inferer import exposed_field
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from tests.conftest import Sample
from tests.io.image_files import write_dicom
from tests.workflows.running import TINY_NETWORK

HEIGHT, WIDTH = 40, 60
DOT = (13, 7)  # x, y


def load(path: Path, **settings: Any) -> MetaTensor:
    return LoadRadiographd("image", **settings)({"image": path})["image"]


class DotFinder:
    """Finds the brightest pixel."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor, network: Any) -> Tensor:
        self.sizes.append(tuple(images.shape[1:]))
        found = []
        for image in images:
            row, column = divmod(int(image[0].argmax()), image.shape[-1])
            found.append([[column, row, 0.9, 1.5, 4.0, 0.7, 8.0]])
        return torch.tensor(found, dtype=torch.float32)


def image(dot: tuple[int, int] = DOT, **meta: Any) -> MetaTensor:
    pixels = torch.zeros(1, HEIGHT, WIDTH)
    pixels[0, dot[1], dot[0]] = 1
    return MetaTensor(pixels, meta=meta)


def batch(*images: MetaTensor) -> Any:
    return list_data_collate([{"image": one} for one in images])["image"]


def find(inputs: Tensor, pixel: tuple[float, float] = (1.0, 1.0)) -> tuple[Tensor, DotFinder]:
    finder = DotFinder()
    template = Template(np.zeros((50, 50), np.float32), LandmarkSet(("dot",), np.ones((1, 2))), pixel, "dots")
    return PosedInferer(finder, template, "as_is")(inputs, None), finder


@pytest.mark.parametrize("side", ["no", "yes", "auto"])
def test_points_come_back_in_pixels_of_the_file(side: str) -> None:
    found, _ = find(batch(image(mirror=side)))
    assert found.shape == (1, 1, 7) and found[0, 0, :2].tolist() == list(DOT)
    assert decollate_batch(found)[0].meta["pose"]["mirrored"] == (side == "yes")
    assert not found.meta["missing"].any()  # the images are black but for the dot, and nobody looks


def test_ordinary_images_go_through_unchanged() -> None:
    images = [image(mirror="no", pixel_size=pair) for pair in ((0.1, 0.1), (1.0, 1.0), (0.2, 0.201))]
    found, finder = find(batch(*images), (0.3, 0.3))
    assert finder.sizes == [(1, HEIGHT, WIDTH)] * 3
    torch.testing.assert_close(found.as_tensor(), DotFinder()(batch(*images), None))


@pytest.mark.parametrize("plain", [torch.zeros(2, 1, HEIGHT, WIDTH), MetaTensor(torch.zeros(2, 1, HEIGHT, WIDTH))])
def test_images_without_meta_data(plain: Tensor) -> None:
    found, finder = find(plain, (0.1, 0.2))
    assert len(found) == 2
    assert finder.sizes == [(1, HEIGHT * 1, WIDTH * 2)] * 2  # square pixels, seen as the template's


def test_meta_data_of_one_image_that_was_not_collated() -> None:
    single = image(mirror="yes", pixel_size=(0.1, 0.2))
    found, _ = find(single[None])
    np.testing.assert_allclose(found[0, 0, :2], DOT, atol=0.5)


@pytest.mark.parametrize(
    ("pixel", "template", "size"),
    [
        ((0.1, 0.2), (1, 1), (2 * HEIGHT, WIDTH)),
        ((0.2, 0.1), (0.5, 0.5), (HEIGHT, 2 * WIDTH)),
        ((0.1, 0.1), (0.1, 0.2), (HEIGHT, 2 * WIDTH)),
        ((0.1, 0.2), (0.3, 0.6), (HEIGHT, WIDTH)),
        ((0.1, 0.15), (0.2, 0.1), (3 * HEIGHT, WIDTH)),
        ((0.001, 1.0), (1, 1), (HEIGHT, WIDTH)),
    ],
)
@pytest.mark.parametrize("mirror", ["no", "yes"])
def test_pixels_of_another_shape(
    pixel: tuple[float, float], template: tuple[float, float], size: tuple[int, int], mirror: str
) -> None:
    found, finder = find(batch(image(mirror=mirror, pixel_size=pixel)), template)
    assert finder.sizes == [(1, *size)]
    np.testing.assert_allclose(found[0, 0, :2], DOT, atol=0.5)
    x, y = size[1] / WIDTH, size[0] / HEIGHT
    factor = math.sqrt((x**-2 + y**-2) / 2)
    np.testing.assert_allclose(found[0, 0, [3, 4, 6]], [1.5, 4 * factor, 8 * factor], rtol=1e-6)


def test_a_mixed_batch() -> None:
    images = [image(mirror="no", pixel_size=(0.1, 0.1)), image(mirror="yes", pixel_size=(0.1, 0.2))]
    together, _ = find(batch(*images))
    apart = torch.cat([find(batch(one))[0].as_tensor() for one in images])
    torch.testing.assert_close(together.as_tensor(), apart)
    assert [one.meta["pose"]["mirrored"] for one in decollate_batch(together)] == [False, True]


@pytest.mark.parametrize("setting", [{"pose": "upright"}, {"pose": None}, {"other_kinds": "drop"}])
def test_unknown_settings(setting: dict[str, Any]) -> None:
    template = Template(np.zeros((50, 50), np.float32), LandmarkSet(("dot",), np.ones((1, 2))), None, "dots")
    with pytest.raises(ConfigError, match=r"is .*, expected one of"):
        PosedInferer(DotFinder(), template, **setting)


def test_a_model_without_images_takes_them_as_they_lie(capsys: pytest.CaptureFixture[str]) -> None:
    template = Template(None, LandmarkSet(("dot",), np.ones((1, 2))), None, "dots", size=(50, 50))
    found = PosedInferer(DotFinder(), template)(batch(image(mirror="auto")), None)
    assert found[0, 0, :2].tolist() == list(DOT)
    assert math.isnan(found.meta["pose"]["kind_confidence"][0])
    assert capsys.readouterr().err.count("taken as they lie") == 1


class Study:
    """The sample's template, one of its images, and the points that are found in it as it lies."""

    def __init__(self, sample: Sample) -> None:
        self.template = read_template(sample.image, sample.landmarks)
        self.network = zero_shot_model(self.template, network=TINY_NETWORK).network
        self.query = load(sorted(sample.images.iterdir())[0])
        self.wanted = self.find(self.query, "as_is")[0, :, :2].numpy()

    def find(self, query: MetaTensor, pose: str = "auto", **settings: Any) -> MetaTensor:
        inferer = PosteriorInferer(self.template, MatchingSettings())
        return PosedInferer(inferer, self.template, pose, **settings)(batch(query), self.network)


@pytest.fixture(scope="module")
def study(sample: Sample) -> Study:
    return Study(sample)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turned_mirrored_and_inverted_images_give_the_same_points(study: Study, quarters: int, mirrored: bool) -> None:
    pixels = 1 - study.query.as_tensor()[0].numpy()
    rows, columns = np.indices(pixels.shape)
    where = {}
    for name, one in (("pixels", pixels), ("x", columns), ("y", rows)):
        where[name] = np.rot90(one[:, ::-1] if mirrored else one, quarters)
    query = MetaTensor(torch.from_numpy(where["pixels"].copy())[None], meta={"mirror": "auto"})
    found = study.find(query)
    x, y = found[0, :, 0].round().long().numpy(), found[0, :, 1].round().long().numpy()
    back = np.stack([where["x"][y, x], where["y"][y, x]], axis=1)
    np.testing.assert_allclose(back, study.wanted, atol=0.6)
    pose = decollate_batch(found)[0].meta["pose"]
    assert (pose["mirrored"], pose["inverted"], pose["changed"]) == (mirrored, True, True)
    assert abs((pose["turn"] - 90 * quarters + 180) % 360 - 180) < 8 and pose["kind_confidence"] > 0.9


@pytest.mark.parametrize(("angle", "frame"), [(30, 1.2), (-100, 2.0)])
def test_an_image_turned_in_a_larger_frame(study: Study, angle: float, frame: float) -> None:
    picture = Image.fromarray((study.query[0].numpy() * 255).astype(np.uint8))
    side = round(frame * max(picture.size))
    canvas = Image.new("L", (side, side))
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    canvas.paste(picture, (left, top))
    turned = np.asarray(canvas.rotate(angle, Image.Resampling.BICUBIC), np.float32) / 255
    found = study.find(MetaTensor(torch.from_numpy(turned)[None], meta={"mirror": "auto"}))
    t = math.radians(angle)  # Pillow turns counter-clockwise about the centre
    centred = study.wanted + np.array([left, top]) - (side - 1) / 2
    wanted = centred @ np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) + (side - 1) / 2
    apart = np.linalg.norm(found[0, :, :2].numpy() - wanted, axis=1)
    assert np.median(apart) < 1.5 and apart.mean() < 3
    assert abs(found.meta["pose"]["turn"][0] - angle) < 8


@pytest.mark.parametrize(("squeezed", "sheared"), [(0.57, 0.0), (1.0, 0.3)])
def test_an_image_that_is_distorted_and_does_not_say_so(study: Study, squeezed: float, sheared: float) -> None:
    picture = Image.fromarray((study.query[0].numpy() * 255).astype(np.uint8))
    back = np.linalg.inv([[squeezed, sheared], [0.0, 1.0]])
    size = round(squeezed * picture.width + sheared * picture.height), picture.height
    pixels = picture.transform(size, Image.Transform.AFFINE, (*back[0], 0, *back[1], 0), Image.Resampling.BICUBIC)
    query = MetaTensor(torch.from_numpy(np.array(pixels, np.float32) / 255)[None], meta={"mirror": "auto"})
    found = study.find(query)
    apart = np.linalg.norm((found[0, :, :2].numpy() + 0.5) @ back.T - 0.5 - study.wanted, axis=1)
    assert np.median(apart) < 2 and apart.mean() < 4
    stretched = np.linalg.svd(back, compute_uv=False)
    assert found.meta["pose"]["distortion"][0] == pytest.approx(stretched[0] / stretched[1], rel=0.1)


def test_an_image_that_lies_as_the_template_is_matched_as_it_is(study: Study) -> None:
    found = study.find(study.query)
    np.testing.assert_array_equal(found[0, :, :2].numpy(), study.wanted)
    assert not found.meta["pose"]["changed"][0] and found.meta["pose"]["kind_confidence"][0] > 0.9
    torch.testing.assert_close(study.find(study.query).as_tensor(), found.as_tensor(), rtol=0, atol=0)


def test_landmarks_that_are_cut_off_are_missing_and_the_others_are_not(study: Study) -> None:
    height = study.query.shape[1]
    low = int(np.sort(study.wanted[:, 1])[len(study.wanted) // 4])
    query = MetaTensor(study.query.as_tensor()[:, low : height + 1], meta={"mirror": "auto"})
    found = study.find(query)
    missing, gone = found.meta["missing"][0].numpy(), study.wanted[:, 1] < low - 2
    clear = np.abs(study.wanted[:, 1] - low) > 0.03 * height
    assert gone.sum() >= 3 and ((missing > 0.5) == gone)[clear].all()
    apart = np.linalg.norm(found[0, :, :2].numpy() + np.array([0, low]) - study.wanted, axis=1)
    assert np.median(apart[~gone]) < 2
    item = {"image": query, "image_id": "a", "spacing": torch.full((2,), torch.nan), "spacing_source": ""}
    query.meta |= {"filename_or_obj": "a.png", "pixel_to_lps": np.eye(3)}
    prediction = as_prediction({**item, "pred": decollate_batch(found)[0]}, study.template.landmarks.names)
    assert (np.isnan(prediction.points[:, 0]) == (missing >= 0.5)).all()


def test_landmarks_behind_a_shutter_are_missing_and_the_others_are_not(study: Study) -> None:
    height = study.query.shape[1]
    low = int(np.sort(study.wanted[:, 1])[len(study.wanted) // 3])
    pixels = study.query.as_tensor().clone()
    pixels[:, :low] = 0.0
    found = study.find(MetaTensor(pixels, meta={"mirror": "auto"}))
    assert found.meta["pose"]["kind_confidence"][0] > 0.5
    missing, gone = found.meta["missing"][0].numpy(), study.wanted[:, 1] < low
    assert (missing[study.wanted[:, 1] < low - 0.1 * height] > 0.5).all()  # a little of a frame counts as image
    apart = np.linalg.norm(found[0, :, :2].numpy() - study.wanted, axis=1)
    assert np.median(apart[~gone]) < 2 and not (missing[~gone] > 0.5).any()


def test_what_flip_says_goes_before_what_is_seen(study: Study) -> None:
    mirror = MetaTensor(study.query.flip(-1).as_tensor(), meta={"mirror": "refuse"})
    assert "shows the other side than the template" in study.find(mirror).meta["refused"][0]
    upright = MetaTensor(study.query.as_tensor(), meta={"mirror": "refuse"})
    assert study.find(upright).meta["refused"] == [""]
    told = MetaTensor(study.query.flip(-1).as_tensor(), meta={"mirror": "no"})
    assert not study.find(told).meta["pose"]["mirrored"][0]


@pytest.mark.parametrize("other_kinds", ["report", "refuse", "ignore"])
def test_an_image_of_another_kind(study: Study, other_kinds: str) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 300, 240), np.float32))
    found = study.find(MetaTensor(noise, meta={"mirror": "auto"}), other_kinds=other_kinds)
    sure, refused = found.meta["pose"]["kind_confidence"][0], found.meta["refused"][0]
    if other_kinds == "ignore":
        assert math.isnan(sure) and not refused and (found[0, :, 5] > 0).all()
    else:
        assert sure < 0.1 and found[0, :, 6].isnan().all()
    if other_kinds == "report":
        assert (found[0, :, 5] == 0).all() and found[0, :, :2].isfinite().all() and not refused
    if other_kinds == "refuse":  # nothing was matched
        assert "another kind of image" in refused and found[0, :, :2].isnan().all()


def test_a_real_image_squeezed_and_of_the_wrong_side(study: Study, sample: Sample, tmp_path: Any) -> None:
    """Half the rows and in the mirror: the points are those of the image as it was."""
    height, width = study.query.shape[1:]
    pixels = (study.query[0].numpy() * 255).astype(np.uint8)
    grey = Image.fromarray(pixels).resize((width, height // 2), Image.Resampling.BOX)
    Image.fromarray(np.asarray(grey)[:, ::-1]).save(tmp_path / "a.png")
    found = study.find(load(tmp_path / "a.png", spacing=(0.1, 0.2)))[0]
    x, y = width - 1 - found[:, 0], (found[:, 1] + 0.5) * 2 - 0.5
    apart = np.hypot(x - study.wanted[:, 0], y - study.wanted[:, 1])
    assert np.median(apart) < 1.5 and apart.mean() < 4
    upright = np.asarray(grey).astype(np.uint16)
    by_ratio = write_dicom(tmp_path / "ratio.dcm", upright, PixelAspectRatio=[2, 1])
    by_spacing = write_dicom(tmp_path / "spacing.dcm", upright, PixelSpacing=[0.8, 0.4])
    same, wanted_same = (study.find(load(path), "as_is")[0] for path in (by_ratio, by_spacing))
    torch.testing.assert_close(same.as_tensor(), wanted_same.as_tensor())


def test_an_exposed_field_ends_at_its_edge_but_what_lies_on_black_is_kept() -> None:
    image = torch.zeros(400, 300)
    image[:240] = torch.rand(240, 300, generator=torch.Generator().manual_seed(0)) / 2 + 0.3
    field = exposed_field(image)
    assert field[:3] == (0, 0, 300) and 240 <= field.height <= 248
    y, x = torch.meshgrid(torch.arange(400) - 200, torch.arange(300) - 150, indexing="ij")
    oval = image[0, 0] * ((x / 100) ** 2 + (y / 150) ** 2 < 1)
    field = exposed_field(oval)
    assert field.width > 200 + 2 * 5 and field.height > 300 + 2 * 10
    assert exposed_field(torch.rand(400, 300)) == (0, 0, 300, 400)
