"""The strategies of matching by name."""

from __future__ import annotations

from bundle.errors import ConfigError
from bundle.matching.settings import MatchingSettings
from bundle.model.inferer import OneShotInferer
from bundle.model.learned import LearnedLandmarks
from bundle.model.paper_inferer import PaperInferer
from bundle.model.posterior_inferer import PosteriorInferer
from bundle.records.template import Template

STRATEGIES: dict[str, type[OneShotInferer]] = {"posterior": PosteriorInferer, "paper": PaperInferer}


def create_inferer(
    template: Template,
    settings: MatchingSettings,
    crop_memory_gb: float | None = None,
    learned: LearnedLandmarks | None = None,
) -> OneShotInferer:
    """The inferer of the strategy that the settings name.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: memory for the crops that go through the network together, in GB; None lets the device decide.
        learned: what was learned from the templates, for the strategy ``posterior``.

    Raises:
        ConfigError: when something was learned that the strategy cannot use.
    """
    if learned is None:
        return STRATEGIES[settings.strategy](template, settings, crop_memory_gb)
    if settings.strategy != "posterior":
        raise ConfigError(
            f"matching.strategy is {settings.strategy!r}, but this model was trained for 'posterior': leave it out."
        )
    return PosteriorInferer(template, settings, crop_memory_gb, learned)
