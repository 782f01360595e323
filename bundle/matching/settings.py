"""The settings that shape the matching: numbers and names only, so that a checkpoint can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bundle.records.errors import ConfigError

STRATEGIES = ("posterior", "paper")


#: The largest values: what goes beyond is a mistake, or a file that wants to fill the memory.
_LARGEST = {"k": 10_000, "patch": 99, "grid": 8192, "prior_rounds": 1000}


@dataclass(frozen=True)
class MatchingSettings:
    """How landmarks are found from descriptors.

    Lengths are fractions of the query image's long side, so that they hold for any resolution and unknown spacing.

    Attributes:
        strategy: ``"posterior"`` weighs all evidence and takes the mean of the posterior; ``"paper"`` is section 2.2 of
            the paper to the letter, on whole pixels.
        k: candidates of the bidirectional matching (paper).
        subpixel: find points between the pixels, by the parabola around the best cell; False rounds as the paper's
            public code does (paper).
        patch: side in cells of the patch that describes a template landmark, odd; 1 is the paper's single vector.
        grid: cells of the long side of the grid on which the scales are averaged (posterior).
        prior_weight: penalty in units of cosine similarity at the distance ``prior_sigma`` (posterior).
        prior_sigma: that distance (posterior).
        prior_rounds: how often prior and posterior are computed from each other (posterior).
        affine_ridge: pull of the affine fit towards the undeformed layout (posterior).
        neighbour_reach: distance over which landmarks correct each other's expected place, as a fraction of the
            template layout's extent (posterior).
        trusted_spread: posterior radius at which a match counts half, as a fraction of the extent (posterior).
        temperature: units of score that make a factor of e in the posterior (posterior).
        local_weight: weight of the crops' whitened features beside the global similarity (posterior).
        decoder_weight: weight of the crops' decoded features, where a local decoder was trained (posterior).
        error_factors: for each landmark a factor on its expected error, from a calibration on labelled images; None
            for none (posterior).
        missing_above: expected error, as a fraction of the layout's extent, above which a landmark is reported as
            missing; None reports every landmark (posterior).
    """

    strategy: str = "posterior"
    k: int = 3
    subpixel: bool = True
    patch: int = 3
    grid: int = 300
    prior_weight: float = 0.1
    prior_sigma: float = 0.06
    prior_rounds: int = 3
    affine_ridge: float = 0.001
    neighbour_reach: float = 0.12
    trusted_spread: float = 0.03
    temperature: float = 0.015
    local_weight: float = 0.2
    decoder_weight: float = 0.05
    error_factors: Sequence[float] | None = None
    missing_above: float | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"matching.strategy is {self.strategy!r}, expected one of {', '.join(STRATEGIES)}.")
        if int(self.k) < 1:
            raise ConfigError(f"matching.k is {self.k}, expected at least one candidate.")
        if int(self.patch) < 1 or int(self.patch) % 2 == 0:
            raise ConfigError(f"matching.patch is {self.patch}, expected an odd number of cells such as 1 or 3.")
        if int(self.prior_rounds) < 0:
            raise ConfigError(f"matching.prior_rounds is {self.prior_rounds}, expected zero or more.")
        for name, largest in _LARGEST.items():
            if getattr(self, name) > largest:
                raise ConfigError(f"matching.{name} is {getattr(self, name)}, expected at most {largest}.")
        if int(self.grid) < 16:
            raise ConfigError(f"matching.grid is {self.grid}, expected at least 16 cells.")
        for name in ("prior_sigma", "affine_ridge", "neighbour_reach", "trusted_spread", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"matching.{name} is {getattr(self, name)}, expected a positive number.")
        for name in ("prior_weight", "local_weight", "decoder_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"matching.{name} is {getattr(self, name)}, expected zero or a positive number.")

        if self.missing_above is not None and not self.missing_above > 0:
            raise ConfigError(
                f"matching.missing_above is {self.missing_above}, expected a positive fraction of the layout's extent, "
                "or null to report every landmark."
            )
        if self.error_factors is not None:
            factors = tuple(float(factor) for factor in self.error_factors)
            if not all(0 < factor < float("inf") for factor in factors):
                raise ConfigError(f"matching.error_factors is {list(factors)}, expected a positive number a landmark.")
            object.__setattr__(self, "error_factors", factors)

    @property
    def uses_crops(self) -> bool:
        """Whether the fine stage has any weight (posterior)."""
        return bool(self.local_weight or self.decoder_weight)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values that a checkpoint or a JSON file can hold."""
        values = asdict(self)
        return {**values, "error_factors": None if self.error_factors is None else list(self.error_factors)}
