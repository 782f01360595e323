from pathlib import Path

import numpy as np
import pytest

from bundle.errors import BundleError
from bundle.metrics.error_summary import LandmarkErrors
from bundle.writers.run_files import read_errors, write_report

HEADER = "image,landmark,error_px,error_mm\n"


def test_what_an_evaluation_wrote_comes_back(tmp_path: Path) -> None:
    px = np.array([[1.25, np.nan, np.inf], [3.0, 4.0, 5.0]])
    mm = px / 8
    mm[1] = np.nan
    errors = LandmarkErrors(("b", "=a"), ("x", "y", "z, w"), px, mm)
    write_report(tmp_path, errors, {})
    for given in (tmp_path, tmp_path / "metrics.csv"):
        found = read_errors(given)
        assert found.image_ids == ("b", "'=a") and found.landmark_names == ("x", "y", "z, w")
        np.testing.assert_allclose(found.px, px, atol=5e-5)
        np.testing.assert_allclose(found.mm, mm, atol=5e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,x,y\n", "does not have the columns"),
        (HEADER, "is not complete"),
        (HEADER + "a,1,1,1\na,1,2,2\n", "has a row twice"),
        (HEADER + "a,1,1,1\nb,2,2,2\n", "is not complete"),
        (HEADER + "a,1,far,1\n", "line 2: the table"),
        (HEADER + "a,1\n", "line 2: the table"),
    ],
)
def test_other_files_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(BundleError, match=r"metrics\.csv") as raised:
        read_errors(tmp_path)
    assert said in str(raised.value) and str(raised.value).endswith(".")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no"):
        read_errors(tmp_path / "none")
