from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ApplyTransformToPointsd, Compose

from bundle.data import ClampIntensityd, RandOneScaleAffined, WarpedTemplate
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
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


@pytest.mark.parametrize("workflow", ["train", "train_decoders"])
def test_warps_of_the_configurations_have_one_scale_factor(workflow: str) -> None:
    """300 draws, shear 0: the affine map from template to warp, from where three points come to lie."""
    affined = read_config(workflow)["train"]["warping"][0]
    assert affined["_target_"] == "bundle.data.RandOneScaleAffined"
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


def test_the_lattice_is_taken_along(template: Template) -> None:
    still = WarpedTemplate(template, Compose([]), count=1, seed=0, lattice_step=20)
    assert torch.equal(still[0]["lattice"], still.lattice.float()) and len(still.lattice) == 16
    assert still.lattice[0].tolist() == [10, 10] and still.lattice[1].tolist() == [30, 10]
    assert WarpedTemplate(template, Compose([]), count=1, seed=0)[0]["lattice"].shape == (0, 2)


def test_another_resolution_moves_the_landmarks_with_it(template: Template) -> None:
    doubled = torch.nn.functional.interpolate(torch.from_numpy(template.pixels)[None, None], scale_factor=2.0)
    warp = WarpedTemplate(template, Compose([]), count=1, seed=0, image=doubled)[0]
    assert warp["image"].shape == (1, 180, 160)
    np.testing.assert_allclose(warp["landmarks"], POINTS * 2 + 0.5)


def test_intensities_are_clamped() -> None:
    item = ClampIntensityd("image")({"image": torch.tensor([-1.0, 0.5, 2.0]), "other": 3})
    assert item["image"].tolist() == [0.0, 0.5, 1.0] and item["other"] == 3
