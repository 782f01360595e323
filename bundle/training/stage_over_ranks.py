"""A stage whose gradients are those of all ranks together."""

from __future__ import annotations

import ignite.distributed as idist
from torch import nn

from bundle.training.stages import Stage


def over_ranks(stage: Stage) -> nn.Module:
    """What the trainer of a stage trains.

    Args:
        stage: the stage, whose decoder alone is trained from here on.

    Returns:
        the stage itself in a run of one process; else the stage inside PyTorch's ``DistributedDataParallel``. On CUDA
        batch normalisation then takes its statistics over all ranks; PyTorch has no such layer for the CPU, where each
        rank takes its own and rank 0's are kept.
    """
    if idist.get_world_size() == 1:
        return stage
    trained = {id(parameter) for parameter in stage.parameters_to_train()}
    for parameter in stage.parameters():
        parameter.requires_grad_(id(parameter) in trained)  # it would be waited for in vain
    return idist.auto_model(stage, sync_bn=stage.device.type == "cuda")
