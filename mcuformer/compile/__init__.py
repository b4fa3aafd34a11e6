"""From an ONNX file to a checked package, stage by stage."""
