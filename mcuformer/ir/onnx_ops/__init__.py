"""ONNX operators in numpy, a row each: `ROWS` of every file make `ONNX` of `ir/optable.py`.

A row (`base.py`) says what becomes of the operator (compiled, moved, folded, removed), the shapes and types
of its results, and computes them. Shape rules touch no data and allocate none: a file may claim any size.
Evaluation is that of onnxruntime in float32, since constants are folded by it, node tests hold it against
the real one, and where onnxruntime is missing the proof runs the file by it.

Operators that move elements (`movement.py`) work on any type, also on arrays of element numbers: that
is how the frontend follows them (ADR 0001). `nn.py`, `pools.py` and `attention.py` adapt the layout and
call the arithmetic of `ir/float_ops`. Nodes of old opsets that say it otherwise come as today's
(frontend/older.py).
"""
