import math
from typing import Any

import pytest
import torch

from bundle.errors import ConfigError
from bundle.matching.paper_matcher import confidence
from bundle.matching.settings import MatchingSettings
from bundle.records.validation import validate


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"strategy": "nearest"}, r"^matching\.strategy is 'nearest', expected 'posterior' or 'paper'\.$"),
        ({"k": 0}, r"matching\.k is 0"),
        ({"patch": 2}, r"^matching\.patch is 2, expected an odd number of cells such as 1 or 3\.$"),
        ({"patch": 0}, r"matching\.patch is 0"),
        ({"patch": -1}, r"matching\.patch is -1"),
        ({"grid": 15}, r"matching\.grid is 15"),
        ({"prior_sigma": 0}, r"matching\.prior_sigma is 0, expected greater than 0"),
        ({"prior_rounds": -1}, r"matching\.prior_rounds is -1"),
        ({"neighbour_reach": -0.1}, r"matching\.neighbour_reach"),
        ({"trusted_spread": 0}, r"matching\.trusted_spread"),
        ({"affine_ridge": 0.0}, r"matching\.affine_ridge"),
        ({"temperature": math.nan}, r"matching\.temperature is nan"),
        ({"prior_weight": -0.1}, r"matching\.prior_weight is -0.1, expected at least 0"),
        ({"local_weight": math.nan}, r"matching\.local_weight"),
        ({"missing_above": 0}, r"matching\.missing_above is 0"),
        ({"error_factors": [1.0, 0.0]}, r"^matching\.error_factors\[1\] is 0\.0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        validate(MatchingSettings, values, "matching")


def test_limits_are_allowed_and_come_back_as_plain_values() -> None:
    settings = MatchingSettings(strategy="paper", k=1, patch=1, grid=16, prior_rounds=0, prior_weight=0, local_weight=0)
    assert MatchingSettings(**settings.as_dict()) == settings
    calibrated = MatchingSettings(error_factors=[1, 2.5], missing_above=0.1)
    assert (
        calibrated.as_dict()["error_factors"] == [1.0, 2.5] and MatchingSettings(**calibrated.as_dict()) == calibrated
    )


def test_confidence_falls_with_both_of_its_reasons() -> None:
    found = confidence(torch.tensor([0.8, 0.8, -0.3]), torch.tensor([0, 0.02, 0]))
    torch.testing.assert_close(found, torch.tensor([0.8, 0.8 * 0.5**0.5, 0.0]))
