"""A trained model as ONNX files, each compared with PyTorch before it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundle import __version__
from bundle.errors import ExportError
from bundle.export.onnx_graph import PACKAGES, largest_difference, onnx_graph, require_onnx, run_graph
from bundle.export.parts import Part, parts_of
from bundle.io.digest import file_digest
from bundle.model import trained_model
from bundle.networks.resampling import resize
from bundle.writers.atomic import atomic_file

DESCRIPTION = "export.json"

FORMAT = "one-shot-landmarks/onnx/1"

INTENSITY = (
    "one grey channel, float32, 0 to 1, bone bright, as bundle.data.LoadRadiographd gives it with the network's "
    "grey_values; the encoder's own normalisation is inside the model"
)


def export_model(
    model_path: str | Path,
    image_size: tuple[int, int],
    output_dir: str | Path,
    *,
    encoder_weights: str = "hub",
    batch: int | None = None,
    opset: int = 20,
    tolerance: float = 1e-4,
) -> Mapping[str, Any]:
    """Write ``global.onnx``, ``local.onnx`` and ``export.json``.

    Each part is first run by ONNX Runtime and by PyTorch on the template, brought to ``image_size``, and on the crops
    around its landmarks.

    Args:
        model_path: the checkpoint.
        image_size: (height, width) in pixels of the images before they are resized to the working sizes.
        output_dir: folder of the files; made where missing. Files of an earlier export in it are replaced.
        encoder_weights: ``"hub"``, ``"random"`` or a local file.
        batch: crops that go through the local part at once; None for one per landmark.
        opset: version of ONNX's operators.
        tolerance: the largest difference that is allowed, as a share of the largest value of an output.

    Returns:
        what ``export.json`` holds.

    Raises:
        CheckpointError: when the checkpoint cannot be used.
        ExportError: when a package is missing, a part cannot be exported, or differs by more than the tolerance.
    """
    require_onnx()
    model = trained_model(model_path, encoder_weights=encoder_weights)
    image = resize(torch.from_numpy(model.template.image)[None, None], image_size, "bilinear")
    scale = torch.tensor([size / old for size, old in zip(image_size[::-1], model.template.size[::-1])])
    points = ((torch.from_numpy(model.template.landmarks.points) + 0.5) * scale - 0.5).to(image.dtype)
    graphs: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    for part in parts_of(model.network, image_size, len(points) if batch is None else batch):
        graph = onnx_graph(part, opset)
        inputs = part.example(image, points)
        with torch.no_grad():
            expected = part(*inputs)
        differences = largest_difference(run_graph(graph, dict(zip(part.inputs, inputs))), expected)
        if max(differences) > tolerance:
            raise ExportError(
                f"the {part.name} part of {model_path} gives other values in ONNX Runtime than in PyTorch (largest "
                f"difference {max(differences):.1e}, at most {tolerance:.1e} is allowed): try another --opset, "
                "or allow more with --tolerance."
            )
        graphs[f"{part.name}.onnx"] = graph
        described[part.name] = _describe_part(part, f"{part.name}.onnx", expected, differences)
    content = {
        "format": FORMAT,
        "model": {"file": Path(model_path).name, "sha256": file_digest(model_path)},
        "encoder": {**model.network.encoder.spec, "digest": model.network.encoder.digest},
        "image_size": {"rows": image_size[0], "columns": image_size[1]},
        "intensity": INTENSITY,
        "parts": described,
        "network": model.network.settings.as_dict(),
        "matching": model.matching.as_dict(),
        "tolerance": tolerance,
        "versions": _versions(opset),
    }
    _write(Path(output_dir), graphs, content)
    return content


def _write(folder: Path, graphs: Mapping[str, bytes], content: Mapping[str, Any]) -> None:
    """The description last, so that a folder with one is complete."""
    for stale in (DESCRIPTION, "global.onnx", "local.onnx"):
        (folder / stale).unlink(missing_ok=True)
    for name, graph in graphs.items():
        with atomic_file(folder / name, binary=True) as file:
            file.write(graph)
    with atomic_file(folder / DESCRIPTION) as file:
        file.write(json.dumps(content, indent=4) + "\n")


def _describe_part(part: Part, file: str, outputs: Sequence[Tensor], differences: Sequence[float]) -> dict[str, Any]:
    """Names, shapes and normalisation of one file."""
    return {
        "file": file,
        "inputs": [{"name": name, "shape": list(shape)} for name, shape in zip(part.inputs, part.shapes)],
        "outputs": [
            {"name": name, "shape": list(output.shape), **about, "largest_difference": difference}
            for name, output, about, difference in zip(part.outputs, outputs, part.about, differences)
        ],
    }


def _versions(opset: int) -> dict[str, Any]:
    """Versions of everything that had a part in the export."""
    return {"bundle": __version__, **{name: version(name) for name in ("torch", *PACKAGES)}, "opset": opset}
