"""The network's parts as ONNX files for other programs."""

from bundle.export.onnx_files import export_model

__all__ = ["export_model"]
