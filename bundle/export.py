"""A trained model as ONNX files for other programs, each compared with PyTorch before it is written."""

import copy
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle import __version__
from bundle.errors import ExportError
from bundle.geometry import PixelCentres
from bundle.io.overwriting import file_digest
from bundle.model import trained_model
from bundle.networks import OneShotNetwork
from bundle.networks.crops import local_crops
from bundle.networks.network import resize
from bundle.writers.files import atomic_file, write_json


class Part(nn.Module):
    """One part of a network, to be exported as one file.

    Args:
        network: the network with its decoders.
        inputs: by their names inputs that show something, of the sizes that the file will take.
        about: for each output its ``name``, and what else there is to say of it.

    Attributes:
        name: name of the part and of its file.
    """

    name: str

    def __init__(self, network: OneShotNetwork, inputs: Mapping[str, Tensor], about: list[dict[str, Any]]) -> None:
        super().__init__()
        self.network, self.inputs, self.about = network, [*inputs], about
        self.example = tuple(inputs.values())
        self.eval()


class GlobalPart(Part):
    """A whole image at its working sizes to descriptors: the encoder, then whitening or the global decoder.

    The inputs are one image at each working size, (1, 1, h, w), 0 to 1. The outputs are the descriptors of each scale,
    (1, C, h', w'), of length one at every position; the negatives, where the network has them, come last. What a global
    decoder gives is not normalised, because the fusion of the strategy ``paper`` upsamples it before.

    Args:
        network: the network.
        image: (1, 1, H, W), 0 to 1, of the size of the images before they are resized.

    Raises:
        ExportError: when images of this size become too small for the encoder.
    """

    name = "global"

    def __init__(self, network: OneShotNetwork, image: Tensor) -> None:
        rows, columns = image.shape[-2:]
        self.sizes, smallest = network.global_sizes((rows, columns)), network.encoder.minimum_side
        for size in self.sizes:
            if min(size) < smallest:
                raise ExportError(
                    f"an image of {rows} rows and {columns} columns becomes {size[0]} x {size[1]} at a working size, "
                    f"but the encoder needs at least {smallest} pixels on each side: give the size of a real image."
                )
        unit_length = network.global_decoder is None
        inputs = {f"image_{index}": view for index, view in enumerate(network.views(image))}
        levels = [(name, negative) for negative in (False, True) for name in inputs][: len(self.sizes)]
        about = [
            {"name": f"descriptors_{index}", "input": name, "negative": negative, "unit_length": unit_length}
            for index, (name, negative) in enumerate(levels)
        ]
        super().__init__(network, inputs, about)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """The descriptors of each scale."""
        levels = self.network.decode_global(self.network.encode_views(images), self.sizes)
        return tuple(levels if self.network.global_decoder else (F.normalize(level, dim=1) for level in levels))


class LocalPart(Part):
    """Crops to frozen features and, where the network has a local decoder, decoded features.

    The input is (N, 1, S, S), 0 to 1. The outputs are the encoder's features, (N, C, h, w), which the strategy
    ``posterior`` whitens itself, and the decoded features, (N, C', rows, columns); neither is normalised.

    Args:
        network: the network.
        image: (1, 1, H, W), 0 to 1.
        points: (M, 2), pixels ``(x, y)`` around which the crops of the example are cut.
        batch: N, how many crops go through at once.
    """

    name = "local"

    def __init__(self, network: OneShotNetwork, image: Tensor, points: Tensor, batch: int) -> None:
        side = network.settings.local_window
        crops = local_crops(image, points[torch.arange(batch) % len(points)], network.settings).images
        names = ["features"] if network.local_decoder is None else ["features", "decoded"]
        about = [{"name": name, "input": "crops", "unit_length": False} for name in names]
        super().__init__(network, {"crops": resize(crops, network.encoder.fit((side, side)), "bilinear")}, about)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The features, and the decoded ones where there is a decoder."""
        features = self.network.encode_local(crops)
        if self.network.local_decoder is None:
            return (features,)
        return features, self.network.decode_local(features, self.network.settings.decoded_crop)


class SteadyInstanceNorm(nn.Module):
    """Zero mean and unit variance for each channel of each image, with sums that stay exact on large images.

    It equals ``nn.InstanceNorm2d`` without weights. ONNX Runtime adds up all pixels of an image in one go in single
    precision: of 1440 x 1160 pixels the last digits are lost, and the descriptors of XFeat came out up to 4e-4 of the
    largest value wrong. Means of rows first, and then their mean, were good to 1e-6.

    Args:
        eps: what is added to the variance.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, images: Tensor) -> Tensor:
        """Normalise: (B, C, H, W) -> (B, C, H, W)."""
        centred = images - _mean(images)
        return centred / torch.sqrt(_mean(centred * centred) + self.eps)


def with_steady_norms(module: nn.Module) -> nn.Module:
    """A copy in which every instance normalisation without weights and statistics is a steady one."""
    changed = copy.deepcopy(module)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d) and not (child.affine or child.track_running_stats):
                setattr(parent, name, SteadyInstanceNorm(child.eps))
    return changed


def _mean(images: Tensor) -> Tensor:
    return images.mean(dim=-1, keepdim=True).mean(dim=-2, keepdim=True)


DESCRIPTION = "export.json"

FORMAT = "one-shot-landmarks/onnx/1"

INTENSITY = (
    "one grey channel, float32, 0 to 1, bone bright, as bundle.data.readable.LoadRadiographd gives it with the "
    "network's grey_values; the encoder's own normalisation is inside the model"
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
    return [
        float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))
        if one.shape == other.shape and torch.isfinite(one).all()
        else math.inf
        for one, other in zip(found, expected)
    ]
