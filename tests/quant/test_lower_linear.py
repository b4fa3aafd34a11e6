"""What lowering a layer makes of weights and biases of very different size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcuformer import quant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

GRAPH = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 64),)
meta output_shapes = ((1,),)
input x: float32[9x64]
const w: float32[64x8] = rand(1)
const b: float32[8] = 1.0
y = linear(x, w, b) {} : float32[9x8]
output y
"""


@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-11, 1e-14])
def test_weights_that_are_nothing_beside_the_bias_add_nothing(size: float) -> None:
    """They get the scale of the bias, and as many steps of it as they are worth: none."""
    graph = verify(parse_graph(GRAPH))
    w = graph.values["w"]
    assert w.data is not None
    values = {**graph.values, "w": replace(w, data=w.data * np.float32(size))}
    graph = graph.replace(values=values)
    x = np.random.default_rng(0).normal(size=(16, 9, 64)).astype(np.float32)
    made = quant.lower(graph, quant.calibrate(graph, x), "16")
    op = next(op for op in made.ops if op.kind == "q_linear")
    steps = np.abs(made.const(op.inputs[1]).astype(np.int64)).sum(axis=1)
    worth = steps * 32767 / np.abs(made.const(op.inputs[2]))  # of all inputs at their limits
    real = np.abs(w.data * size).sum(axis=0).max() * np.abs(x).max()
    assert worth.max() < 1.3 * real + 64 * 0.5 * 32767 * 2.0**-29  # rounding of 64 weights
