"""Sums and products of two activations, one of them repeated over rows, channels or both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chain import follow, follow_quantised, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify
from mcuformer.quant.policy import Mode

EVERYWHERE = ("host", "unicorn", "qemu")
TOKENS = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 20, 12),)
meta output_shapes = ((1,),)
input x: float32[20x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[12x12] = rand(3)
const one: float32[12x1] = rand(4)
const few: float32[12x3] = rand(5)
const back: float32[3x12] = rand(6)
a = linear(x, w) {} : float32[20x12]
m = mean(a) {} : float32[1x12]
f = linear(m, few) {} : float32[1x3]
r = unary(f) {'fn': 'relu'} : float32[1x3]
b = linear(r, back) {} : float32[1x12]
row = unary(b) {'fn': 'sigmoid'} : float32[1x12]
h = linear(x, one) {} : float32[20x1]
column = unary(h) {'fn': 'sigmoid'} : float32[20x1]
"""
GATES = {
    "row": "e = mul(a, row) {} : float32[20x12]",
    "row first": "e = mul(row, a) {} : float32[20x12]",
    "column": "e = mul(a, column) {} : float32[20x12]",
    "column first": "e = mul(column, a) {} : float32[20x12]",
    "outer": "e = mul(column, row) {} : float32[20x12]",
    "sums": """
s = add(a, row) {} : float32[20x12]
e = add(h, s) {} : float32[20x12]""",
    "outer sum": "e = add(row, h) {} : float32[20x12]",
    "one number": """
k = linear(m, one) {} : float32[1x1]
g = mul(a, k) {} : float32[20x12]
p = mul(k, row) {} : float32[1x12]
q = add(h, k) {} : float32[20x1]
s = add(g, p) {} : float32[20x12]
e = mul(s, q) {} : float32[20x12]""",
    "rows of one's own": """
p = slice(a) {'axis': 0, 'start': 0, 'stop': 1} : float32[1x12]
s = mul(a, p) {} : float32[20x12]
q = slice(s) {'axis': 0, 'start': 19, 'stop': 20} : float32[1x12]
e = add(q, s) {} : float32[20x12]""",
    "columns of one's own": """
p = slice(a) {'axis': 1, 'start': 0, 'stop': 1} : float32[20x1]
s = mul(a, p) {} : float32[20x12]
q = slice(s) {'axis': 1, 'start': 11, 'stop': 12} : float32[20x1]
e = add(q, s) {} : float32[20x12]""",
    "row of the input": """
p = slice(x) {'axis': 0, 'start': 3, 'stop': 4} : float32[1x12]
e = add(a, p) {} : float32[20x12]""",
    "before a mean": """
g = mul(a, column) {} : float32[20x12]
n = mean(g) {} : float32[1x12]
t = mul(n, row) {} : float32[1x12]
e = mul(t, g) {} : float32[20x12]""",
    "in a residual stream": """
g = mul(a, row) {} : float32[20x12]
s = add(x, g) {} : float32[20x12]
n = layernorm(s) {'eps': 1e-05, 'groups': 1} : float32[20x12]
l = linear(n, v) {} : float32[20x12]
c = mul(l, column) {} : float32[20x12]
t = add(s, c) {} : float32[20x12]
e = layernorm(t) {'eps': 1e-05, 'groups': 1} : float32[20x12]""",
    "added to a stream": """
s = add(a, row) {} : float32[20x12]
n = layernorm(s) {'eps': 1e-05, 'groups': 1} : float32[20x12]
l = linear(n, v) {} : float32[20x12]
t = add(l, h) {} : float32[20x12]
y = layernorm(t) {'eps': 1e-05, 'groups': 1} : float32[20x12]
e = linear(y, u) {} : float32[20x12]""",
    "around attention": """
q = mul(a, row) {} : float32[20x12]
l = linear(x, v) {} : float32[20x12]
k = mul(l, column) {} : float32[20x12]
z = linear(x, u) {} : float32[20x12]
n = add(z, row) {} : float32[20x12]
o = attention(q, k, n) {'heads': 2, 'scale': 0.4} : float32[20x12]
t = mul(o, column) {} : float32[20x12]
e = mul(t, row) {} : float32[20x12]""",
    "read by all": """
g = unary(x) {'fn': 'tanh'} : float32[20x12]
s = mul(g, row) {} : float32[20x12]
t = add(s, row) {} : float32[20x12]
l = linear(t, v) {} : float32[20x12]
y = add(l, row) {} : float32[20x12]
e = add(y, t) {} : float32[20x12]""",
}
IMAGE = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 7, 5),)
meta output_shapes = ((1,),)
input x: float32[7x5x3]
const k: float32[3x3x3x6] = rand(1)
const d: float32[3x3x6x4] = rand(2)
const spot: float32[3x3x6x1] = rand(3)
const w: float32[6x6] = rand(4)
y = conv2d(x, k) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[7x5x6]
t = reshape(y) {'shape': (35, 6)} : float32[35x6]
"""
IMAGES = {
    "squeeze and excite": """
m = mean(t) {} : float32[1x6]
l = linear(m, w) {} : float32[1x6]
g = unary(l) {'fn': 'hardsigmoid(0.2, 0.5)'} : float32[1x6]
s = mul(t, g) {} : float32[35x6]
i = reshape(s) {'shape': (7, 5, 6)} : float32[7x5x6]
e = conv2d(i, d) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[4x3x4]""",
    "spatial gate": """
c = conv2d(y, spot) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[7x5x1]
r = reshape(c) {'shape': (35, 1)} : float32[35x1]
g = unary(r) {'fn': 'sigmoid'} : float32[35x1]
s = mul(g, t) {} : float32[35x6]
i = reshape(s) {'shape': (7, 5, 6)} : float32[7x5x6]
e = conv2d(i, d) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (1, 1)} : float32[5x3x4]""",
    "both, of the largest": """
q = reshape(t) {'shape': (35, 1, 6)} : float32[35x1x6]
n = maxpool(q) {'kernel': (35, 1), 'pads': (0, 0, 0, 0), 'strides': (1, 1)} : float32[1x1x6]
m = reshape(n) {'shape': (1, 6)} : float32[1x6]
l = linear(m, w) {} : float32[1x6]
g = unary(l) {'fn': 'leaky_relu(0.1)'} : float32[1x6]
c = conv2d(y, spot) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[7x5x1]
a = unary(c) {'fn': 'elu(0.5)'} : float32[7x5x1]
r = reshape(a) {'shape': (35, 1)} : float32[35x1]
s = add(r, g) {} : float32[35x6]
e = mul(s, t) {} : float32[35x6]""",
}
IN_FULL = {
    "row",
    "column first",
    "outer sum",
    "around attention",
    "squeeze and excite",
    "both, of the largest",
}


@pytest.mark.parametrize("mode", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("name", [*GATES, *IMAGES])
def test_gates(tmp_path: Path, name: str, mode: Mode) -> None:
    text = TOKENS + GATES[name] if name in GATES else IMAGE + IMAGES[name]
    follow_quantised(f"{text}\noutput e", mode, tmp_path, mode == "8" and name in IN_FULL)


@pytest.mark.parametrize("order", ["p, row", "row, p"])
def test_channels_of_a_relu_keep_their_scales_through_a_gate(tmp_path: Path, order: str) -> None:
    """Squeeze-and-excite behind a depthwise layer: channels whose ranges lie a hundred times apart."""
    spread = np.geomspace(0.1, 10, 12).astype(np.float32)
    relu = "p = unary(a) {'fn': 'relu'} : float32[20x12]"
    tokens = TOKENS.replace("m = mean(a)", f"{relu}\nm = mean(p)")
    text = f"""{tokens}
g = mul({order}) {{}} : float32[20x12]
e = linear(g, v) {{}} : float32[20x12]
output e"""
    graph = verify(parse_graph(text).pruned())
    factors = {"w": spread, "few": 1 / spread[:, None], "v": 1 / spread[:, None]}
    values = dict(graph.values)
    for name, factor in factors.items():
        data = values[name].data
        assert data is not None
        values[name] = replace(values[name], data=(data * factor).astype(np.float32))
    graph = graph.replace(values=values)
    samples = np.random.default_rng(0).normal(size=(32, 20, 12)).astype(np.float32)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    grid = lowered.type("p").qparams
    assert grid is not None and grid.scale.shape == (12,) and (grid.zero_point == -128).all()
    assert signal_db(graph, lowered, samples) > 33
    follow(scheduled(lowered, "resident", "balanced"), tmp_path, EVERYWHERE[:2])
