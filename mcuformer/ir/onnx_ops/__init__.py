"""ONNX operators in numpy, a row each (`ir/optable.py`): limits, shapes, element types, evaluation."""
