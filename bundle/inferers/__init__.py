"""Inferers: from an image and a network to landmarks."""

from bundle.inferers.base import OneShotInferer
from bundle.inferers.paper import PaperInferer
from bundle.inferers.posterior import PosteriorInferer
from bundle.matching.settings import MatchingSettings
from bundle.template import Template

STRATEGIES: dict[str, type[OneShotInferer]] = {"posterior": PosteriorInferer, "paper": PaperInferer}


def create_inferer(template: Template, settings: MatchingSettings) -> OneShotInferer:
    """The inferer of the strategy that the settings name."""
    return STRATEGIES[settings.strategy](template, settings)


__all__ = ["OneShotInferer", "PaperInferer", "PosteriorInferer", "create_inferer"]
