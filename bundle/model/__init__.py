"""A model: network, template and how it matches; from settings or a checkpoint, and from an image to landmarks."""

from bundle.model.building import Model, build_network, open_model, trained_model, zero_shot_model
from bundle.model.checkpoint import save_model
from bundle.model.fmosd_checkpoint import import_fmosd, read_preset
from bundle.model.inferer import OneShotInferer
from bundle.model.paper_inferer import PaperInferer
from bundle.model.posed_inferer import PosedInferer
from bundle.model.posterior_inferer import PosteriorInferer
