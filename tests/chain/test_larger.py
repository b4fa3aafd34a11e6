"""The larger of two: bits of the chain, values, and that equal numbers stay equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow_quantised
from util_long import few

from mcuformer import quant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify
from mcuformer.quant.policy import Mode

TOKENS = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 20, 12),)
meta output_shapes = ((1,),)
input x: float32[20x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[12x24] = rand(3)
const one: float32[12x1] = rand(4)
const least: float32[12] = rand(5)
const table: float32[20x12] = rand(6)
a = linear(x, w) {} : float32[20x12]
b = linear(x, v) {} : float32[20x12]
column = linear(x, one) {} : float32[20x1]
row = mean(b) {} : float32[1x12]
"""
LARGER = {
    "of two layers": "e = max(a, b) {} : float32[20x12]",
    "of halves": """
h = linear(x, u) {} : float32[20x24]
p = slice(h) {'axis': 1, 'start': 0, 'stop': 12} : float32[20x12]
q = slice(h) {'axis': 1, 'start': 12, 'stop': 24} : float32[20x12]
m = max(p, q) {} : float32[20x12]
e = linear(m, w) {} : float32[20x12]""",
    "with the input": """
m = max(a, x) {} : float32[20x12]
e = add(m, x) {} : float32[20x12]""",
    "of three, one read again": """
m = max(a, b) {} : float32[20x12]
n = max(x, m) {} : float32[20x12]
l = linear(n, v) {} : float32[20x12]
o = max(l, m) {} : float32[20x12]
e = add(o, a) {} : float32[20x12]""",
    "row": "e = max(a, row) {} : float32[20x12]",
    "column": "e = max(column, a) {} : float32[20x12]",
    "outer": """
m = max(column, row) {} : float32[20x12]
e = mul(m, a) {} : float32[20x12]""",
    "constants": """
m = max(a, least) {} : float32[20x12]
l = linear(m, v) {} : float32[20x12]
e = max(l, table) {} : float32[20x12]""",
    "of functions": """
r = unary(a) {'fn': 'relu'} : float32[20x12]
s = unary(b) {'fn': 'relu6'} : float32[20x12]
m = max(r, s) {} : float32[20x12]
g = unary(m) {'fn': 'gelu'} : float32[20x12]
n = layernorm(g) {'eps': 1e-05, 'groups': 1} : float32[20x12]
e = linear(n, w) {} : float32[20x12]""",
    "before attention": """
m = max(a, b) {} : float32[20x12]
o = attention(m, m, b) {'heads': 2, 'scale': 0.4} : float32[20x12]
e = max(o, m) {} : float32[20x12]""",
}
MAPS = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 7, 5),)
meta output_shapes = ((1,),)
input x: float32[7x5x3]
const k: float32[3x3x3x6] = rand(1)
const l: float32[3x3x3x6] = rand(2)
const d: float32[3x3x6x4] = rand(3)
a = conv2d(x, k) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[7x5x6]
b = conv2d(x, l) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[7x5x6]
m = max(a, b) {} : float32[7x5x6]
e = conv2d(m, d) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[4x3x4]"""
IN_FULL = {"of two layers", "of halves", "column", "constants", "maps"}


@pytest.mark.parametrize("mode", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("name", [*LARGER, "maps"])
def test_larger(tmp_path: Path, name: str, mode: Mode) -> None:
    text = MAPS if name == "maps" else TOKENS + LARGER[name]
    follow_quantised(f"{text}\noutput e", mode, tmp_path, mode == "8" and name in IN_FULL)


def test_equal_numbers_get_equal_codes() -> None:
    """Rows 0 and 2 hold the same x, of constants that differ and lie below it."""
    text = """
const below: float32[3x12] = rand(7)
t = gather(x) {'indices': (4, 5, 4)} : float32[3x12]
m = max(t, below) {} : float32[3x12]
e = mul(m, least) {} : float32[3x12]
output e"""
    graph = verify(parse_graph(TOKENS + text).pruned())
    samples = np.random.default_rng(1).normal(9, size=(40, 20, 12)).astype(np.float32)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    grid = lowered.type("x")
    assert grid.qparams is not None and graph.const("below") is not None
    y = run_int(lowered, grid.qparams.quantise(samples, grid.dtype))["e"]
    assert np.array_equal(y[:, 0], y[:, 2]) and not np.array_equal(y[:, 0], y[:, 1])
