"""Write what a training made: one self-contained checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from bundle import __version__
from bundle.matching.settings import MatchingSettings
from bundle.model.checkpoint import Checkpoint, LearnedLandmarks, write_checkpoint
from bundle.networks import OneShotNetwork
from bundle.ranks import is_first
from bundle.records.template import Template


def save_model(
    path: str | Path,
    network: OneShotNetwork,
    template: Template,
    matching: MatchingSettings,
    record: Mapping[str, Any],
    learned: LearnedLandmarks | None = None,
    keep_images: bool = True,
) -> None:
    """Write the checkpoint and say so; rank 0 does it for all.

    Args:
        path: the file.
        network: the network.
        template: the annotated image.
        matching: settings of the matching that inference shall use.
        record: how the model was trained.
        learned: what was learned from the templates, if anything.
        keep_images: whether the file shall hold the templates' images, which only matching back, reports and exports
            use where something was learned.

    Raises:
        CheckpointError: when the file cannot be written.
    """
    if not is_first():
        return
    checkpoint = Checkpoint(
        decoders=network.state_dict(),
        template=template if keep_images else template.without_pixels(),
        # In full: a checkpoint must mean the same encoder when a short name or a default has come to mean another.
        network={**network.settings.as_dict(), "encoder": network.settings.encoder.resolved()},
        matching=matching.as_dict(),
        encoder_digest=network.encoder.digest,
        training={**record, "ranks": idist.get_world_size(), "version": __version__},
        learned=learned,
    )
    written = write_checkpoint(path, checkpoint)
    print(f"model written to {written} ({written.stat().st_size / 1e6:.1f} MB)")
