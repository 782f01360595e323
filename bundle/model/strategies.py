"""The strategies of matching by name."""

from __future__ import annotations

from bundle.matching.settings import MatchingSettings
from bundle.model.inferer import OneShotInferer
from bundle.model.paper_inferer import PaperInferer
from bundle.model.posterior_inferer import PosteriorInferer
from bundle.records.template import Template

STRATEGIES: dict[str, type[OneShotInferer]] = {"posterior": PosteriorInferer, "paper": PaperInferer}


def create_inferer(
    template: Template, settings: MatchingSettings, crop_memory_gb: float | None = None
) -> OneShotInferer:
    """The inferer of the strategy that the settings name.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: memory for the crops that go through the network together, in GB; None lets the device decide.
    """
    return STRATEGIES[settings.strategy](template, settings, crop_memory_gb)
