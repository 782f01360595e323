"""Inferers: from an image and a network to landmarks."""

from bundle.inferers.base import OneShotInferer
from bundle.inferers.paper import PaperInferer
from bundle.inferers.posterior import PosteriorInferer
from bundle.inferers.template_frame import TemplateFrameInferer
from bundle.matching.settings import MatchingSettings
from bundle.template import Template

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


__all__ = ["OneShotInferer", "PaperInferer", "PosteriorInferer", "TemplateFrameInferer", "create_inferer"]
