"""The default strategy on pictures whose landmarks are known exactly."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import ConfigError
from bundle.io.radiographs import read_radiograph
from bundle.io.template import read_template
from bundle.matching.settings import MatchingSettings
from bundle.model import PosteriorInferer, build_network, zero_shot_model
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.networks.network import resize
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from tests.conftest import Sample
from tests.workflows.running import TINY_NETWORK

#: Cells of four pixels at the finest scale.
FINE_NETWORK = {**TINY_NETWORK, "working_sides": [320, 640], "local_side": 640, "local_cells": 32}


@pytest.fixture(scope="module")
def template(sample: Sample) -> Template:
    """A hand with every fourth of its landmarks."""
    whole = read_template(sample.image, sample.landmarks)
    return with_landmarks(whole, whole.landmarks.points[::4])


@pytest.fixture(scope="module")
def network(template: Template) -> OneShotNetwork:
    return zero_shot_model(template, network=FINE_NETWORK).network


@pytest.fixture
def inferer(template: Template) -> PosteriorInferer:
    return PosteriorInferer(template, MatchingSettings())


@pytest.fixture(scope="module")
def query(template: Template) -> torch.Tensor:
    """The template's own image."""
    return torch.from_numpy(template.pixels)[None, None]


def with_landmarks(template: Template, points: Any) -> Template:
    points = np.asarray(points, dtype=np.float64)
    names = tuple(f"L{index}" for index in range(len(points)))
    return Template(template.pixels, LandmarkSet(names, points), template.spacing, template.name)


def infer(template: Template, network: OneShotNetwork, *images: np.ndarray) -> torch.Tensor:
    batch = torch.stack([torch.from_numpy(image)[None] for image in images])
    return PosteriorInferer(template, MatchingSettings())(batch, network)


def errors(found: torch.Tensor, points: Any) -> np.ndarray:
    return np.linalg.norm(found[:, :2].double().numpy() - np.asarray(points), axis=1)


def transformed(
    template: Template, matrix: Sequence[Sequence[float]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The image and its landmarks under ``new = A old + b``, in pixels ``(x, y)``; ``matrix`` is (A | b)."""
    affine = np.asarray(matrix, dtype=np.float64)
    inverse = np.linalg.inv(affine[:, :2])
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    old = (np.stack([columns, rows], axis=-1) - affine[:, 2]) @ inverse.T
    grid = torch.from_numpy((old + 0.5) * 2 / np.array(template.size[::-1]) - 1).float()[None]
    image = torch.nn.functional.grid_sample(
        torch.from_numpy(template.pixels)[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return image[0, 0].numpy(), template.landmarks.points @ affine[:, :2].T + affine[:, 2]


def test_the_template_itself(template: Template, network: OneShotNetwork) -> None:
    (found,) = infer(template, network, template.pixels)
    assert found.shape == (len(template.landmarks), 7)
    assert errors(found, template.landmarks.points).max() < 2.5
    similarity, back, spread, confidence = found[:, 2:6].unbind(dim=1)
    assert (similarity > 0.6).all() and (back < 4).all() and (spread >= 0).all()
    assert ((confidence > 0) & (confidence <= 1)).all()


@pytest.mark.parametrize(
    ("matrix", "size"),
    [
        ([[1, 0, 14], [0, 1, -9]], (320, 256)),
        ([[1.1, 0, -8], [0, 1.1, -12]], (320, 256)),
        ([[0.995, -0.1, 14], [0.1, 0.995, -10]], (320, 256)),
        ([[1, 0, 30], [0, 1, 4]], (330, 340)),
        ([[0.7, 0, 5], [0, 0.7, 5]], (240, 200)),
    ],
    ids=["shifted", "scaled", "turned", "wider", "smaller"],
)
def test_the_template_moved(matrix: Any, size: tuple[int, int], template: Template, network: OneShotNetwork) -> None:
    image, points = transformed(template, matrix, size)
    (found,) = infer(template, network, image)
    error = errors(found, points)
    assert np.median(error) < 3 and error.mean() < 8


def test_another_hand_is_found_better_than_by_the_templates_points(
    template: Template, network: OneShotNetwork, sample: Sample
) -> None:
    from bundle.io.landmark_files import read_landmark_table

    truth = read_landmark_table(sample.truth)
    for name in ("phantom_001", "phantom_002"):
        image = read_radiograph(sample.images / f"{name}.dcm").pixels
        (found,) = infer(template, network, image)
        points = truth[name].points[::4]
        assert errors(found, points).mean() < 0.5 * np.linalg.norm(points - template.landmarks.points, axis=1).mean()


def resampled(template: Template, factor: float) -> Template:
    """The same image with other pixels."""
    size = tuple(round(side * factor) for side in template.size)
    image = resize(torch.from_numpy(template.pixels)[None, None], size, "bilinear")[0, 0].clamp(0, 1)
    points = (template.landmarks.points + 0.5) * np.array(size[::-1]) / np.array(template.size[::-1]) - 0.5
    return replace(template, pixels=image.numpy(), landmarks=LandmarkSet(template.landmarks.names, points))


@pytest.mark.parametrize(
    ("of_template", "of_query"), [(0.5, 1), (4, 1), (1, 0.5), (1, 4), (0.5, 4), (4, 0.5), (0.5, 0.5), (2, 2)]
)
def test_points_do_not_depend_on_how_many_pixels_an_image_has(
    of_template: float, of_query: float, template: Template, network: OneShotNetwork, sample: Sample
) -> None:
    """At 640 pixels along the long side, and half to four times as many: within 0.5 mm in the mean."""
    query = read_radiograph(sample.images / "phantom_001.dcm")
    assert query.spacing is not None
    before, after = (
        infer(
            resampled(template, 2 * of_template),
            network,
            resampled(replace(template, pixels=query.pixels), 2 * of_query).pixels,
        )[0]
        for of_template, of_query in ((1, 1), (of_template, of_query))
    )
    moved = np.linalg.norm((after[:, :2] + 0.5) / (2 * of_query) - (before[:, :2] + 0.5) / 2, axis=1)
    assert moved.mean() * query.spacing[0] < 0.5
    assert (after[:, 5] - before[:, 5]).abs().mean() < 0.05


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks(count: int, template: Template, network: OneShotNetwork) -> None:
    few = with_landmarks(template, template.landmarks.points[:count])
    (found,) = infer(few, network, template.pixels)
    assert found.shape == (count, 7) and torch.isfinite(found[:, :6]).all()
    assert errors(found, few.landmarks.points).max() < 2.5


def test_landmarks_at_the_border(template: Template, network: OneShotNetwork) -> None:
    height, width = template.size
    corners = [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1], [width / 2, height - 1]]
    edge = with_landmarks(template, [*corners, *template.landmarks.points[:4]])
    (found,) = infer(edge, network, template.pixels)
    assert torch.isfinite(found[:, :6]).all()
    assert errors(found, edge.landmarks.points)[5:].max() < 2.5
    within = (found[:, 0] > -20) & (found[:, 0] < width + 20) & (found[:, 1] > -20) & (found[:, 1] < height + 20)
    assert within.all()


def test_landmarks_that_coincide_or_lie_on_a_line(template: Template, network: OneShotNetwork) -> None:
    x, y = template.landmarks.points[3]
    line = with_landmarks(template, [[x, y], [x, y], [x, y + 20], [x, y + 40]])
    (found,) = infer(line, network, template.pixels)
    assert torch.isfinite(found[:, :6]).all()
    assert errors(found, line.landmarks.points).max() < 8


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (64, 64), (33, 400)])
def test_images_of_any_shape(size: tuple[int, int], template: Template, network: OneShotNetwork) -> None:
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    (found,) = infer(template, network, image)
    assert found.shape == (len(template.landmarks), 7) and torch.isfinite(found[:, :6]).all()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_without_content(value: float, template: Template, network: OneShotNetwork) -> None:
    (found,) = infer(template, network, np.full((200, 160), value, np.float32))
    assert torch.isfinite(found[:, :6]).all()


def test_a_batch_of_two_is_two_of_one(template: Template, network: OneShotNetwork, sample: Sample) -> None:
    images = [read_radiograph(sample.images / f"phantom_00{number}.dcm").pixels for number in (1, 2)]
    both = infer(template, network, *images)
    for index, image in enumerate(images):
        torch.testing.assert_close(
            both[index], infer(template, network, image)[0], rtol=1e-5, atol=1e-4, equal_nan=True
        )


def test_a_metatensor_gives_a_plain_tensor(
    inferer: PosteriorInferer, query: torch.Tensor, network: OneShotNetwork
) -> None:
    plain, meta = inferer(query, network), inferer(MetaTensor(query), network)
    assert type(meta) is torch.Tensor and torch.allclose(plain, meta, rtol=0, atol=0, equal_nan=True)


def test_an_inferer_follows_the_decoders(template: Template, inferer: PosteriorInferer) -> None:
    network = build_network(NetworkSettings(**TINY_NETWORK))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    image, _ = transformed(template, [[1, 0, 6], [0, 1, 4]], template.size)
    query = torch.from_numpy(image)[None, None]
    first = inferer(query, network)
    assert torch.allclose(first, inferer(query, network), rtol=0, atol=0, equal_nan=True)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator) * 0.2)
    changed = inferer(query, network)
    assert not torch.allclose(first, changed, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(changed, PosteriorInferer(template, MatchingSettings())(query, network), equal_nan=True)
    network.load_state_dict(state)
    assert torch.allclose(first, inferer(query, network), rtol=0, atol=0, equal_nan=True)


def test_an_inferer_follows_the_network(
    inferer: PosteriorInferer, query: torch.Tensor, network: OneShotNetwork
) -> None:
    other = build_network(NetworkSettings(**{**TINY_NETWORK, "working_sides": [160]}))
    first = inferer(query, network)
    assert not torch.allclose(first, inferer(query, other), rtol=0, atol=0, equal_nan=True)
    assert torch.allclose(first, inferer(query, network), rtol=0, atol=0, equal_nan=True)


def test_nothing_is_left_for_autograd(inferer: PosteriorInferer, query: torch.Tensor) -> None:
    assert not inferer(query, build_network(NetworkSettings(**TINY_NETWORK))).requires_grad


def test_two_equal_templates_are_one(template: Template, network: OneShotNetwork) -> None:
    twice = replace(template, others=(template,))
    image, _ = transformed(template, [[1.05, 0, 6], [0, 1.05, 4]], template.size)
    torch.testing.assert_close(infer(twice, network, image), infer(template, network, image), rtol=1e-4, atol=1e-3)


def test_several_templates_average_their_annotators_offsets(template: Template, network: OneShotNetwork) -> None:
    """Two annotators, one 4 pixels to the right of the truth and one to the left."""
    right, left = (with_landmarks(template, template.landmarks.points + np.array([shift, 0])) for shift in (4, -4))
    image, points = transformed(template, [[1, 0, 5], [0, 1, -3]], template.size)
    alone = errors(infer(right, network, image)[0], points)
    together = errors(infer(replace(right, others=(left,)), network, image)[0], points)
    assert np.median(together) < 0.6 * np.median(alone)


def test_templates_of_different_size(template: Template, network: OneShotNetwork) -> None:
    image, points = transformed(template, [[0.8, 0, 12], [0, 0.8, 20]], (270, 215))
    smaller = Template(image, LandmarkSet(template.landmarks.names, points), None, "smaller")
    (found,) = infer(replace(template, others=(smaller,)), network, template.pixels)
    assert np.median(errors(found, template.landmarks.points)) < 2


def test_expected_errors_follow_the_calibration(
    template: Template, inferer: PosteriorInferer, query: torch.Tensor, network: OneShotNetwork
) -> None:
    factors = [1.0 + index for index in range(len(template.landmarks))]
    plain = inferer(query, network)[0]
    scaled = PosteriorInferer(template, MatchingSettings(error_factors=factors))(query, network)[0]
    torch.testing.assert_close(scaled[:, 6], plain[:, 6] * torch.tensor(factors))
    assert (scaled[1:, 5] < plain[1:, 5]).all() and torch.equal(scaled[:, :5], plain[:, :5])
    with pytest.raises(ConfigError, match=r"error_factors has 2 numbers for \d+ landmarks"):
        PosteriorInferer(template, MatchingSettings(error_factors=[1.0, 2.0]))


def test_a_landmark_that_is_too_uncertain_is_missing(
    template: Template, inferer: PosteriorInferer, query: torch.Tensor, network: OneShotNetwork
) -> None:
    plain = inferer(query, network)[0]
    size = np.linalg.norm(np.ptp(plain[:, :2].numpy(), axis=0))
    ordered = plain[:, 6].sort().values
    limit = float(ordered[4:6].mean() / size)  # between two of them
    found = PosteriorInferer(template, MatchingSettings(missing_above=limit))(query, network)[0]
    gone = found[:, 0].isnan()
    assert torch.equal(gone, plain[:, 6] > limit * size) and gone.any() and not gone.all()
    assert torch.equal(found[~gone], plain[~gone]) and torch.equal(found[gone, 2:], plain[gone, 2:])
