"""A reciprocal whose numerator is 0 takes no part in its range."""

from __future__ import annotations

import numpy as np
from chain import signal_db

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

GRAPH = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 8, 4),)
meta output_shapes = ((1, 8, 4),)
input x: float32[8x4]
const ones: float32[4x4] = 1.0
const little: float32[4] = 1e-05
a = unary(x) {'fn': 'relu'} : float32[8x4]
s = linear(a, ones) {} : float32[8x4]
d = add(s, little) {} : float32[8x4]
r = power(d) {'exponent': -1.0} : float32[8x4]
b = gather(a) {'indices': (1, 0, 3, 2, 5, 4, 7, 6)} : float32[8x4]
m = gather(r) {'indices': (1, 0, 3, 2, 5, 4, 7, 6)} : float32[8x4]
y = mul(b, m) {} : float32[8x4]
output OUT
"""


def samples() -> np.ndarray:
    x = np.random.default_rng(0).uniform(0.5, 2, (16, 8, 4)).astype(np.float32)
    x[3, 2] = -1  # a row that is nothing: 0 * 1e5
    return x


def graph(out: str) -> Graph:
    return verify(parse_graph(GRAPH.replace("OUT", out)).pruned())


def test_a_reciprocal_reaches_as_far_as_its_quotient_needs() -> None:
    found = quant.calibrate(graph("y"), samples()).values
    for name in ("r", "m"):
        assert 0.1 < found[name].high.max() < 0.6
        assert found[name].rows.max() <= found[name].high.max()


def test_a_reciprocal_that_leaves_the_model_keeps_its_range() -> None:
    assert quant.calibrate(graph("m"), samples()).values["r"].high.max() > 9e4


def test_the_quotient_is_right_beside_such_a_row() -> None:
    integers = quant.lower(graph("y"), quant.calibrate(graph("y"), samples()))
    assert signal_db(graph("y"), integers, samples()) > 30
