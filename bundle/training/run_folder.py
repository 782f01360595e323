"""A folder for each training, so that a killed one is continued and no other one by mistake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from torch import Tensor

from bundle.ranks import is_first, refuse_uninvited_ranks
from bundle.records.template import Template
from bundle.training.feature_store import FeatureStore


def run_folder(
    root: str | Path, template: Template, settings: Mapping[str, Any], example: Mapping[str, Tensor] | None = None
) -> str:
    """The folder of the training that is defined by a template and settings.

    Args:
        root: where the folders of all trainings are.
        template: the annotated image.
        settings: everything else that the result depends on, as JSON values.
        example: one warp, which stands for the transforms that made it; None without warps.

    Returns:
        path of the folder, whose name is a fingerprint of all that; it need not exist yet.

    Raises:
        ConfigError: when several processes were started without the overlay that makes them a group.
    """
    refuse_uninvited_ranks()
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for one in template.all:
        digest.update(one.image.tobytes())
        digest.update(one.landmarks.points.tobytes())
        digest.update("\n".join(one.landmarks.names).encode())
    for name, tensor in sorted((example or {}).items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return str(Path(root) / digest.hexdigest()[:12])


def forget_run(folder: str | Path, features: FeatureStore | None = None) -> None:
    """Remove what only a training that is not yet complete needs; the logs stay. Rank 0 does it for all.

    Args:
        folder: the folder of the training.
        features: its frozen features, where it keeps any.
    """
    idist.barrier()  # until nobody needs them
    if not is_first():
        return
    if features is not None:
        features.forget()
    for path in Path(folder).rglob("*"):
        if path.suffix in (".pt", ".partial"):
            path.unlink(missing_ok=True)
