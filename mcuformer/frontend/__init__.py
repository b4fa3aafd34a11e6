"""ONNX files in, canonical float graphs out."""

from mcuformer.frontend.load import load_model, load_onnx_stage

__all__ = ["load_model", "load_onnx_stage"]
