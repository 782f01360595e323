"""A trained model as ONNX files, each compared with PyTorch before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundle import __version__
from bundle.errors import ExportError
from bundle.export.parts import GlobalPart, LocalPart, Part, with_steady_norms
from bundle.geometry import PixelCentres
from bundle.io.overwriting import file_digest
from bundle.model import trained_model
from bundle.networks.resampling import resize
from bundle.writers.atomic import atomic_file
from bundle.writers.json_file import write_json

DESCRIPTION = "export.json"

FORMAT = "one-shot-landmarks/onnx/1"

INTENSITY = (
    "one grey channel, float32, 0 to 1, bone bright, as bundle.data.LoadRadiographd gives it with the network's "
    "grey_values; the encoder's own normalisation is inside the model"
)

#: Packages that only the export needs; see requirements-export.txt.
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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
        encoder_weights: ``"hub"``, ``"package"``, ``"random"`` or a local file.
        batch: crops that go through the local part at once; None for one per landmark.
        opset: version of ONNX's operators.
        tolerance: the largest difference that is allowed, as a share of the largest value of an output.

    Returns:
        what ``export.json`` holds.

    Raises:
        CheckpointError: when the checkpoint cannot be used.
        ExportError: when a package is missing, a part cannot be exported, or differs by more than the tolerance.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ExportError(
            f"the export needs the package(s) {', '.join(missing)}: run pip install -r requirements-export.txt -c "
            "constraints.txt."
        )
    model = trained_model(model_path, encoder_weights=encoder_weights)
    image = resize(torch.from_numpy(model.template.image)[None, None], image_size, "bilinear")
    points = torch.from_numpy(model.template.landmarks.points)
    points = PixelCentres().to_cells(points, model.template.size, image_size).to(image.dtype)
    parts = [GlobalPart(model.network, image), LocalPart(model.network, image, points, batch or len(points))]
    exported = {part.name: export_part(part, opset, tolerance) for part in parts}
    content = {
        "format": FORMAT,
        "model": {"file": Path(model_path).name, "sha256": file_digest(model_path)},
        "encoder": {**model.network.encoder.spec, "digest": model.network.encoder.digest},
        "image_size": {"rows": image_size[0], "columns": image_size[1]},
        "intensity": INTENSITY,
        "parts": {name: {"file": f"{name}.onnx", **described} for name, (_, described) in exported.items()},
        "network": model.network.settings.as_dict(),
        "matching": model.matching.as_dict(),
        "tolerance": tolerance,
        "versions": {"bundle": __version__, **{name: version(name) for name in ("torch", *PACKAGES)}, "opset": opset},
    }
    folder = Path(output_dir)
    (folder / DESCRIPTION).unlink(missing_ok=True)  # and written last, so that a folder with one is complete
    for name, (graph, _) in exported.items():
        with atomic_file(folder / f"{name}.onnx", binary=True) as file:
            file.write(graph)
    write_json(folder / DESCRIPTION, content)
    return content


def export_part(part: Part, opset: int, tolerance: float) -> tuple[bytes, dict[str, Any]]:
    """A part as an ONNX model with its weights, and the names and shapes of what goes in and comes out.

    Raises:
        ExportError: when PyTorch cannot translate the part, ONNX Runtime cannot run it, or it differs.
    """
    outputs = [about["name"] for about in part.about]
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                with_steady_norms(part),
                part.example,
                input_names=part.inputs,
                output_names=outputs,
                opset_version=opset,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        graph, found = program.model_proto.SerializeToString(), program(*part.example)
    except Exception as error:  # the exporter, the checks of ONNX, protobuf and ONNX Runtime each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"the {part.name} part cannot be written as ONNX with opset {opset} ({type(error).__name__}: {reason}); "
            "try another --opset."
        ) from error
    with torch.no_grad():
        expected = part(*part.example)
    differences = largest_difference(found, expected)
    if max(differences) > tolerance:
        raise ExportError(
            f"the {part.name} part gives other values in ONNX Runtime than in PyTorch (largest difference "
            f"{max(differences):.1e}, at most {tolerance:.1e} is allowed): try another --opset, or allow more with "
            "--tolerance."
        )
    described = {
        "inputs": [{"name": name, "shape": list(one.shape)} for name, one in zip(part.inputs, part.example)],
        "outputs": [
            {**about, "shape": list(output.shape), "largest_difference": difference}
            for about, output, difference in zip(part.about, expected, differences)
        ],
    }
    return graph, described


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> list[float]:
    """The largest difference in each output, as a share of the largest value that is expected in it.

    An output that is not finite, or of another shape, differs infinitely.
    """
    differences = []
    for one, other in zip(found, expected):
        if one.shape != other.shape or not torch.isfinite(one).all():
            differences.append(float("inf"))
            continue
        differences.append(float((one - other).abs().max() / other.abs().max().clamp(min=1e-12)))
    return differences
