"""The canonical float operators: what the rows of `CANONICAL` and `FLOAT_OPS` (`ir/optable.py`) are made of.

`shapes.py` has a rule for each: attributes and operand shapes in, the result's shape out, or a ShapeError
that names both. The verifier asks it at every border of a stage, and the search has nothing else.

`evaluate.py` computes them over a batch of samples in float32. This is where calibration spends its time,
so it stays on BLAS; a single sample is a batch of one. Constants have no batch axis.

`arithmetic.py` is what both sides share: convolution, windows, softmax, normalisation, channels last. ONNX's
operators (`ir/onnx_ops`) turn their layout and call the same functions, so that a file and its canonical
graph cannot differ by two spellings of one formula.
"""
