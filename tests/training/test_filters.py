"""What is learned from annotated templates, against literal re-implementations of the equations."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bundle.matching.lattice import Window
from bundle.training import filter_fit
from bundle.training.filter_fit import cross_entropy, discriminants, distance_aware, fit_filter, shared_scores
from bundle.training.filter_training import HeldOut, chosen_strength, doubtful_annotations, learning_gain
from bundle.training.landmark_examples import LandmarkExamples, fit_landmark, held_out_base, held_out_parts, others_of

IMAGES, CHANNELS, CELLS, SIDE = 3, 4, 6, 7


def windows(seed: int = 0) -> list[Window]:
    """Windows of two scales."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [
        Window(draw(IMAGES, CHANNELS, cells + 2, cells + 2), draw(IMAGES, SIDE, cells), draw(IMAGES, SIDE, cells))
        for cells in (CELLS, CELLS - 2)
    ]


def design(several: list[Window]) -> np.ndarray:
    """One row a place, one column a number of the filter: (K, S * S, P)."""
    rows = []
    for image in range(IMAGES):
        columns = []
        for window in several:
            cells = window.cells.shape[-1] - 2
            patches = F.unfold(window.cells[image : image + 1], 3)[0].reshape(-1, cells, cells)
            read = window.rows[image] @ patches @ window.columns[image].T
            columns.append(read.flatten(1).T.numpy())
        rows.append(np.concatenate(columns, axis=1))
    return np.stack(rows)


def maps(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = 3 * torch.randn(IMAGES, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return base, 30 * torch.rand(IMAGES, SIDE, SIDE, generator=generator, dtype=torch.float64)


def flat(filters: list[torch.Tensor]) -> np.ndarray:
    return np.concatenate([one.flatten().numpy() for one in filters])


def test_scores_are_linear_in_the_filter() -> None:
    several = windows()
    filters = [torch.randn(CHANNELS, 3, 3, dtype=torch.float64) for _ in several]
    expected = (design(several) @ flat(filters)).reshape(IMAGES, SIDE, SIDE)
    np.testing.assert_allclose(shared_scores(several, filters), expected, rtol=1e-9, atol=1e-9)


def test_the_distance_aware_filter_solves_its_normal_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_fit, "ITERATIONS", 2000)
    several, (base, distance) = windows(), maps(1)
    x = design(several)
    x = x - x.mean(axis=1, keepdims=True)
    wanted = filter_fit.HEIGHT * np.exp(-((distance.numpy() / filter_fit.WIDE) ** 2) / 2) - base.numpy()
    wanted = wanted.reshape(IMAGES, -1)
    wanted = wanted - wanted.mean(axis=1, keepdims=True)
    normal = np.einsum("kqp,kqr->pr", x, x) / SIDE**2 + 2 * filter_fit.RIDGE * np.eye(x.shape[-1])
    exact = np.linalg.solve(normal, np.einsum("kqp,kq->p", x, wanted) / SIDE**2)
    np.testing.assert_allclose(flat(fit_filter(several, distance_aware(base, distance))), exact, rtol=2e-3, atol=2e-3)


def test_no_filter_near_it_has_a_smaller_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_fit, "ITERATIONS", 500)
    several, (base, distance) = windows(), maps(2)
    x, b = design(several), base.reshape(IMAGES, -1).numpy()
    target = np.exp(-((distance.numpy().reshape(IMAGES, -1) / filter_fit.SHARP) ** 2) / 2)
    target = target / target.sum(axis=1, keepdims=True)

    def loss(d: np.ndarray) -> float:
        scores = b + x @ d
        top = scores.max(axis=1, keepdims=True)
        logarithm = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        return float(-(target * logarithm).sum() + filter_fit.RIDGE * d @ d)

    found = flat(fit_filter(several, cross_entropy(base, distance)))
    assert loss(found) < loss(np.zeros_like(found))
    generator = np.random.default_rng(0)
    for _ in range(50):
        assert loss(found + generator.normal(0, 1e-2, found.shape)) > loss(found)


def test_discriminants_are_those_of_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    maps_ = [torch.randn(3, 6, 5, generator=generator, dtype=torch.float64) for _ in range(4)]
    kernels = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64)
    patches = np.concatenate([F.unfold(one[None], 3)[0].T.numpy() for one in maps_])
    covariance = np.cov(patches.T, bias=True)
    covariance += filter_fit.SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    for kernel, found in zip(kernels.flatten(1).numpy(), discriminants(maps_, kernels).flatten(1).numpy()):
        exact = np.linalg.inv(covariance) @ (kernel - patches.mean(axis=0))
        exact *= (patches @ kernel).std() / (patches @ exact).std()
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-9)


def test_of_many_patches_some_are_drawn_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    maps_ = [torch.randn(3, 6, 5) for _ in range(4)]
    kernels = torch.randn(2, 3, 3, 3)
    of_all = discriminants(maps_, kernels)
    monkeypatch.setattr(filter_fit, "PATCHES", 40)
    first, again = discriminants(maps_, kernels), discriminants(maps_, kernels)
    assert torch.equal(first, again) and not torch.equal(first, of_all)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_every_template_is_held_out_once_where_others_can_teach(count: int) -> None:
    parts = held_out_parts(count)
    assert sorted(index for part in parts for index in part) == (list(range(count)) if count > 2 else [])
    for index in range(count):
        others = others_of(index, count)
        together = next((part for part in parts if index in part), [index])
        assert not set(others) & set(together) or count == 1
        assert others


def examples(count: int) -> LandmarkExamples:
    generator = torch.Generator().manual_seed(3)
    window = Window(
        *(
            part[:1].expand(count, -1, -1, -1)[..., :] if part.ndim == 4 else part[:1].expand(count, -1, -1)
            for part in windows()[0]
        )
    )
    noisy = window._replace(cells=window.cells + 0.1 * torch.randn(window.cells.shape, generator=generator))
    scores = torch.randn(count, count, SIDE, SIDE, generator=generator, dtype=torch.float64)
    _, distance = maps(4)
    return LandmarkExamples(0, [noisy], scores, 0 * scores[:, 0], distance[:1].expand(count, -1, -1))


def test_one_template_teaches_no_filter() -> None:
    found = fit_landmark(examples(1))
    assert all(float(value.abs().max()) == 0 for value in found.values())


def test_a_template_that_is_held_out_has_no_part_in_the_filters() -> None:
    """Neither its windows and landmarks, nor, as one of the others, its kernels."""
    plain, changed = examples(4), examples(4)
    changed.scores[1] += 5 * torch.randn(4, SIDE, SIDE, dtype=torch.float64)
    changed.scores[:, 1] += 5 * torch.randn(4, SIDE, SIDE, dtype=torch.float64)
    for name in ("cross_entropy", "distance_aware"):
        one, other = (fit_landmark(each)[f"held_out.{name}"] for each in (plain, changed))
        torch.testing.assert_close(one[1], other[1])
        assert not torch.allclose(one[0], other[0])


def test_the_base_of_a_template_is_the_mean_of_the_others() -> None:
    scores = examples(3).scores
    torch.testing.assert_close(held_out_base(scores[1], 1), (scores[1, 0] + scores[1, 2]) / 2)


@pytest.mark.parametrize(
    ("more", "strength"),
    [((-0.1, -0.3), 1.0), ((0.001, 0.001), 1.0), ((-0.1, 0.3), 0.5), ((0.2, 0.3), 0.0)],
    ids=["better", "within the scatter", "too much", "filters harm"],
)
def test_the_largest_strength_that_is_not_clearly_worse_than_none(more: tuple[float, float], strength: float) -> None:
    without = np.array([1.0, 1.2, 0.8, 1.5, 1.1])
    scatter = np.array([-0.04, 0.02, 0.05, -0.03, 0.0])  # of mean zero, with a standard error of 0.017
    assert (
        chosen_strength({0.0: without, 0.5: without + scatter + more[0], 1.0: without + scatter + more[1]}) == strength
    )


def test_more_templates_gain_less_over_those_that_are_left() -> None:
    assert [learning_gain(count) for count in (2, 3, 10)] == pytest.approx([0.75, 8 / 9, 1.1 / 1.125])


def held_out(**changed: tuple[int, int, float, float]) -> HeldOut:
    """Ten templates of twenty landmarks, errors of about ten pixels; some are given with what was expected of them."""
    generator = np.random.default_rng(0)
    errors = generator.uniform(5, 15, (10, 20))
    expected = np.full_like(errors, 10.0)
    for template, landmark, error, hoped in changed.values():
        errors[template, landmark], expected[template, landmark] = error, hoped
    return HeldOut(errors, expected, np.full(10, 1000.0))


def test_a_point_far_from_where_the_others_find_it_is_doubtful() -> None:
    found = doubtful_annotations(held_out(one=(3, 4, 120.0, 12.0), other=(7, 0, 200.0, 30.0)))
    assert found == [(7, 0), (3, 4)]


def test_where_the_matching_is_not_sure_itself_the_annotation_is_not_doubted() -> None:
    assert doubtful_annotations(held_out(unsure=(3, 4, 120.0, 90.0), small=(5, 5, 38.0, 5.0))) == []


def test_where_everything_is_bad_nothing_is_named() -> None:
    plain = held_out()
    assert doubtful_annotations(plain._replace(errors=plain.errors * 20)) == []
