"""A stage whose gradients are those of all ranks together."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bundle.ranks import ranks
from bundle.training.stages import Stage


def over_ranks(stage: Stage) -> nn.Module:
    """What the trainer of a stage trains.

    Args:
        stage: the stage, whose decoder alone is trained from here on.

    Returns:
        the stage itself in a run of one process; else the stage inside PyTorch's ``DistributedDataParallel``. On CUDA
        the decoder's batch normalisation then takes its statistics over all ranks; PyTorch has no such layer for the
        processor, where each rank takes its own and rank 0's are kept.
    """
    if ranks() == 1:
        return stage
    trained = {id(parameter) for parameter in stage.parameters_to_train()}
    for parameter in stage.parameters():
        parameter.requires_grad_(id(parameter) in trained)  # it would be waited for in vain
    if stage.device.type != "cuda":
        return DistributedDataParallel(stage)
    for name, part in stage.network.named_children():
        if any(id(parameter) in trained for parameter in part.parameters()):
            setattr(stage.network, name, nn.SyncBatchNorm.convert_sync_batchnorm(part))
    return DistributedDataParallel(stage, device_ids=[stage.device.index], output_device=stage.device.index)
