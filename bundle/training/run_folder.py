"""A folder for each training, so that a killed one is continued and no other one by mistake."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.template import Template


def run_folder(root: str | Path, template: Template, settings: Mapping[str, Any]) -> str:
    """The folder of the training that is defined by a template and settings.

    Args:
        root: where the folders of all trainings are.
        template: the annotated image.
        settings: everything else that the result depends on, as JSON values.

    Returns:
        path of the folder, whose name is a fingerprint of all that; it need not exist yet.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(template.pixels.tobytes())
    digest.update(template.landmarks.points.tobytes())
    digest.update("\n".join(template.landmarks.names).encode())
    return str(Path(root) / digest.hexdigest()[:12])


def latest_state(folder: str | Path) -> str | None:
    """The newest state that a killed training left in its folder, or None."""
    states = sorted(Path(folder).glob("state_*.pt"), key=lambda path: path.stat().st_mtime)
    return str(states[-1]) if states else None


def forget_states(folder: str | Path) -> None:
    """Remove what is only of use to a training that is not yet complete; the logs stay."""
    for path in (*Path(folder).glob("state_*.pt"), *Path(folder).glob("best.pt")):
        path.unlink(missing_ok=True)
    for path in Path(folder).glob("*.partial"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
