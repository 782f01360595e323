import numpy as np

from bundle.training.filter_training import HeldOut, doubtful_annotations


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
