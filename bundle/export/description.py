"""What the JSON file beside the ONNX files says about them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from torch import Tensor

from bundle import __version__
from bundle.export.onnx_graph import PACKAGES
from bundle.export.parts import Part

FORMAT = "one-shot-landmarks/onnx/1"

INTENSITY = (
    "one grey channel, float32, 0 to 1, bone bright, as bundle.data.LoadRadiographd gives it with the network's "
    "grey_values; the encoder's own normalisation is inside the model"
)


def describe_part(part: Part, file: str, outputs: Sequence[Tensor], differences: Sequence[float]) -> dict[str, Any]:
    """Names, shapes and normalisation of one file."""
    return {
        "file": file,
        "inputs": [{"name": name, "shape": list(shape)} for name, shape in zip(part.inputs, part.shapes)],
        "outputs": [
            {"name": name, "shape": list(output.shape), **about, "largest_difference": difference}
            for name, output, about, difference in zip(part.outputs, outputs, part.about, differences)
        ],
    }


def versions(opset: int) -> dict[str, Any]:
    """Versions of everything that had a part in the export."""
    return {"bundle": __version__, **{name: version(name) for name in ("torch", *PACKAGES)}, "opset": opset}
