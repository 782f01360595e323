"""The rows of the table of scores."""

import numpy as np

from workbench.scores import summary


def test_a_row_counts_images_not_points() -> None:
    errors = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    assert summary("All", errors, 2.5) == ["All", 2, 2.0, 2.0, 3.0, "67 %"]
    assert summary("a", errors[:, [1]], 2.5) == ["a", 1, 2.0, 2.0, 2.0, "100 %"]
    for empty in (errors[:, [2]], np.empty((2, 0)), np.array([])):
        _, images, *values = summary("none", empty, 2.0)
        assert images == 0 and values == ["-"] * 4
