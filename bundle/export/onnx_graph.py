"""One part of the network as an ONNX model, and what ONNX Runtime computes with it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from bundle.errors import ExportError
from bundle.export.parts import Part
from bundle.export.steady_norm import with_steady_norms

#: Packages that only the export needs; see requirements-export.txt.
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Refuse to begin without the packages that the export needs.

    Raises:
        ExportError: naming those that are not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"the export needs the package(s) {', '.join(missing)}: run pip install -r requirements-export.txt -c "
            "constraints.txt."
        )


def onnx_graph(part: Part, opset: int) -> bytes:
    """The ONNX model of a part, with its weights.

    Args:
        part: the part.
        opset: version of ONNX's operators.

    Raises:
        ExportError: when PyTorch cannot translate the part.
    """
    inputs = tuple(torch.rand(shape, generator=torch.Generator().manual_seed(0)) for shape in part.shapes)
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                with_steady_norms(part),
                inputs,
                input_names=part.inputs,
                output_names=part.outputs,
                opset_version=opset,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        return program.model_proto.SerializeToString()
    except Exception as error:  # the exporter, the checks of ONNX and protobuf each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"the {part.name} part cannot be written as ONNX with opset {opset} ({type(error).__name__}: {reason}); "
            "try another --opset."
        ) from error


def run_graph(graph: bytes, inputs: dict[str, Tensor]) -> list[Tensor]:
    """What ONNX Runtime computes on the CPU.

    Raises:
        ExportError: when it cannot run the model.
    """
    import onnxruntime  # an extra: only the export needs it

    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    except Exception as error:  # ONNX Runtime has many kinds of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"ONNX Runtime cannot run the exported model ({reason}); try another --opset.") from error
    return [torch.from_numpy(output) for output in outputs]


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
