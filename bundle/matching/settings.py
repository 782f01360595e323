"""The settings that shape the matching: numbers and names only, so that a checkpoint can hold them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from bundle.records.validation import Items, Validated


def _odd(cells: int) -> int:
    if cells % 2 == 0:
        raise ValueError("an odd number of cells such as 1 or 3")
    return cells


_Positive = Annotated[float, Field(gt=0)]
_Weight = Annotated[float, Field(ge=0)]


class MatchingSettings(Validated):
    """How landmarks are found from descriptors.

    Lengths are fractions of the query image's long side, so that they hold for any resolution and unknown spacing.

    Attributes:
        strategy: ``"posterior"`` weighs all evidence and takes the mean of the posterior; ``"paper"`` is section 2.2 of
            the paper as its public code runs it, on whole pixels.
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
        pose: ``"auto"`` looks for turn, mirror, polarity and scale of an image before the matching; ``"as_is"`` matches
            images as they lie, as the paper does.
    """

    # What goes beyond the largest values is a mistake, or a file that wants to fill the memory.
    strategy: Literal["posterior", "paper"] = "posterior"
    k: Annotated[int, Field(ge=1, le=10_000)] = 3
    subpixel: bool = True
    patch: Annotated[int, Field(ge=1, le=99), AfterValidator(_odd)] = 3
    grid: Annotated[int, Field(ge=16, le=8192)] = 300
    prior_weight: _Weight = 0.1
    prior_sigma: _Positive = 0.06
    prior_rounds: Annotated[int, Field(ge=0, le=1000)] = 3
    affine_ridge: _Positive = 0.001
    neighbour_reach: _Positive = 0.12
    trusted_spread: _Positive = 0.03
    temperature: _Positive = 0.015
    local_weight: _Weight = 0.2
    decoder_weight: _Weight = 0.05
    error_factors: Items[_Positive] | None = None
    missing_above: _Positive | None = None
    pose: Literal["auto", "as_is"] = "auto"

    @property
    def uses_crops(self) -> bool:
        """Whether the fine stage has any weight (posterior)."""
        return bool(self.local_weight or self.decoder_weight)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values that a checkpoint or a JSON file can hold."""
        return self.model_dump(mode="json")
