from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import ApplyTransformToPointsd, Compose, RandAffined

from bundle.data import ClampIntensityd, WarpedTemplate
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template

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
            RandAffined("image", prob=1.0, rotate_range=0.3, scale_range=0.1, translate_range=5, padding_mode="zeros"),
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
