import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ApplyTransformToPointsd, Compose

from bundle.errors import ConfigError
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from bundle.training.decoder_training import RandOneScaleAffined, WarpedTemplate
from tests.workflows.running import read_config

POINTS = np.array([[20.0, 30.0], [60.0, 12.0], [33.0, 70.0]])


@pytest.fixture
def template() -> Template:
    """A soft spot at each landmark."""
    rows, columns = np.mgrid[:90, :80]
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18) for x, y in POINTS]
    return Template(np.sum(spots, axis=0).astype(np.float32), LandmarkSet(("a", "b", "c"), POINTS), None, "spots")


def affine() -> Compose:
    return Compose(
        [
            RandOneScaleAffined("image", scale_range=0.1, prob=1.0, rotate_range=0.3, translate_range=5),
            ApplyTransformToPointsd("landmarks", refer_keys="image", invert_affine=True, dtype=torch.float64),
        ]
    )


def test_landmarks_stay_on_what_they_mark(template: Template) -> None:
    warps = WarpedTemplate(template, affine(), count=5, seed=3)
    for index in range(len(warps)):
        warp = warps[index]
        assert warp["image"].shape == (1, 90, 80) and warp["landmarks"].shape == (3, 2)
        assert (warp["landmarks"] - torch.from_numpy(POINTS)).norm(dim=1).max() > 0.5
        rows, columns = torch.meshgrid(torch.arange(90.0), torch.arange(80.0), indexing="ij")
        for x, y in warp["landmarks"]:
            near = warp["image"][0] * ((columns - x).square() + (rows - y).square() < 64)
            centre = torch.stack([(near * columns).sum(), (near * rows).sum()]) / near.sum()
            assert (centre - torch.stack([x, y])).norm() < 0.3


def test_warps_of_the_configuration_have_one_scale_factor() -> None:
    """300 draws, shear 0: the affine map from template to warp, from where three points come to lie."""
    affined = read_config("train_decoders")["train"]["preprocessing"]["transforms"][0]
    assert affined["_target_"] == "bundle.training.decoder_training.RandOneScaleAffined"
    of_pixels = {"shear_range": None, "translate_range": 5}
    settings = {key: value for key, value in {**affined, **of_pixels}.items() if key != "_target_"}
    points = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 80.0]])
    transform = Compose(
        [
            RandOneScaleAffined(**settings),
            ApplyTransformToPointsd("landmarks", refer_keys="image", invert_affine=True, dtype=torch.float64),
        ]
    )
    found = []
    for seed in range(300):
        transform.set_random_state(seed)
        image = MetaTensor(torch.zeros(1, 90, 80), affine=torch.eye(4, dtype=torch.float64))
        warped = transform({"image": image, "landmarks": torch.from_numpy(points).flip(-1)[None]})["landmarks"][0]
        steps = (warped[1:] - warped[0]).T.numpy() / [60, 80]
        found.append(np.linalg.svd(steps, compute_uv=False))
    factors = np.array(found)
    assert np.abs(factors[:, 0] - factors[:, 1]).max() < 1e-6
    largest = affined["scale_range"]
    assert 0.9 * largest < (1 / factors).max() - 1 <= largest + 1e-9, "MONAI's factor is that of the way back"
    assert 0.9 * largest < 1 - (1 / factors).min() <= largest + 1e-9


def test_a_warp_depends_on_seed_and_number_only(template: Template) -> None:
    first, second = (WarpedTemplate(template, affine(), count=3, seed=5) for _ in range(2))
    last = second[2]["image"]
    for index in range(3):
        assert torch.equal(first[index]["image"], second[index]["image"])
        assert torch.equal(first[index]["landmarks"], second[index]["landmarks"])
    assert torch.equal(first[2]["image"], last), "in any order"
    assert not torch.equal(first[0]["image"], first[1]["image"])
    assert not torch.equal(first[0]["image"], WarpedTemplate(template, affine(), count=3, seed=6)[0]["image"])


def test_there_has_to_be_one(template: Template) -> None:
    with pytest.raises(ConfigError, match="0 warps"):
        WarpedTemplate(template, lambda item: item, count=0, seed=0)
