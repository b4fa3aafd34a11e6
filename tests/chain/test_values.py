"""Small graphs whose operands are constants, slices, clamps and attention rows: bits and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

EVERYWHERE = ("host", "unicorn", "qemu")
TOKENS = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[12x12] = rand(3)
const c: float32[12] = rand(4)
const row: float32[1x12] = rand(5)
const column: float32[9x1] = rand(6)
const table: float32[9x12] = rand(7)
"""
IMAGE = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 6, 5),)
meta output_shapes = ((1,),)
input x: float32[6x5x3]
const k: float32[3x3x3x6] = rand(1)
const d: float32[3x3x1x6] = rand(2)
const c: float32[6] = rand(3)
const m: float32[6] = rand(5)
const table: float32[6x5x6] = rand(4)
y = conv2d(x, k) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[6x5x6]
"""
CONSTANTS = {
    "repeated rows": """
a = add(x, c) {} : float32[9x12]
b = mul(a, row) {} : float32[9x12]
e = add(b, a) {} : float32[9x12]
output e""",
    "own rows": """
a = add(x, column) {} : float32[9x12]
b = mul(a, table) {} : float32[9x12]
e = mul(b, column) {} : float32[9x12]
output e""",
    "between layers": """
a = linear(x, w) {} : float32[9x12]
b = mul(a, c) {} : float32[9x12]
f = unary(b) {'fn': 'gelu'} : float32[9x12]
g = mul(f, row) {} : float32[9x12]
n = layernorm(g) {'eps': 1e-05, 'groups': 1} : float32[9x12]
e = add(n, a) {} : float32[9x12]
output e""",
}
SLICES = {
    "of a residual sum": """
a = linear(x, w) {} : float32[9x12]
s = add(x, a) {} : float32[9x12]
p = slice(s) {'axis': 1, 'start': 5, 'stop': 12} : float32[9x7]
q = slice(s) {'axis': 1, 'start': 0, 'stop': 7} : float32[9x7]
e = mul(p, q) {} : float32[9x7]
output e""",
    "on both axes": """
n = layernorm(x, c) {'eps': 1e-05, 'groups': 1} : float32[9x12]
p = slice(n) {'axis': 1, 'start': 4, 'stop': 10} : float32[9x6]
q = slice(p) {'axis': 0, 'start': 2, 'stop': 7} : float32[5x6]
r = slice(n) {'axis': 0, 'start': 4, 'stop': 9} : float32[5x12]
s = slice(r) {'axis': 1, 'start': 0, 'stop': 6} : float32[5x6]
e = add(q, s) {} : float32[5x6]
output e""",
    "to heads with a gate": """
a = linear(x, w) {} : float32[9x12]
k = linear(x, v) {} : float32[9x12]
g = unary(k) {'fn': 'sigmoid'} : float32[9x12]
h = linear(x, u) {} : float32[9x12]
m = mul(g, h) {} : float32[9x12]
l = softmax(a) {} : float32[9x12]
o = attention(a, m, l) {'heads': 3, 'scale': 0.25} : float32[9x12]
p = linear(o, w) {} : float32[9x12]
e = add(x, p) {} : float32[9x12]
output e""",
    "of a layer as q, k, and v": """
a = linear(x, w) {} : float32[9x12]
o = attention(a, a, a) {'heads': 3, 'scale': 0.05} : float32[9x12]
p = linear(o, v) {} : float32[9x12]
e = add(x, p) {} : float32[9x12]
output e""",
    "as q, k and v": """
q = slice(x) {'axis': 1, 'start': 0, 'stop': 4} : float32[9x4]
k = slice(x) {'axis': 1, 'start': 4, 'stop': 8} : float32[9x4]
v = slice(x) {'axis': 1, 'start': 2, 'stop': 8} : float32[9x6]
o = attention(q, k, v) {'heads': 2, 'scale': 0.5} : float32[9x6]
const t: float32[6x12] = rand(8)
p = linear(o, t) {} : float32[9x12]
e = add(x, p) {} : float32[9x12]
f = linear(e, u) {} : float32[9x12]
output f""",
}
MEANS = {
    "of an attention": """
a = linear(x, w) {} : float32[9x12]
o = attention(a, a, x) {'heads': 2, 'scale': 0.05} : float32[9x12]
e = mean(o) {} : float32[1x12]
output e""",
    "behind an attention, twice": """
a = linear(x, w) {} : float32[9x12]
b = linear(x, v) {} : float32[9x12]
o = attention(a, b, b) {'heads': 2, 'scale': 0.05} : float32[9x12]
p = linear(o, u) {} : float32[9x12]
s = add(x, p) {} : float32[9x12]
n = layernorm(s) {'eps': 1e-05, 'groups': 1} : float32[9x12]
f = mean(n) {} : float32[1x12]
h = mean(s) {} : float32[1x12]
e = add(f, h) {} : float32[1x12]
output e""",
    "of one attention behind another": """
a = linear(x, w) {} : float32[9x12]
o = attention(a, x, a) {'heads': 1, 'scale': 0.05} : float32[9x12]
p = attention(x, a, o) {'heads': 3, 'scale': 0.05} : float32[9x12]
g = gather(p) {'indices': (8, 1, 1, 3)} : float32[4x12]
e = mean(g) {} : float32[1x12]
output e""",
}
GRIDS = {
    "a softmax beside a token": """
const t: float32[1x12] = rand(8)
s = softmax(x) {} : float32[9x12]
j = concat(s, t) {'axis': 0} : float32[10x12]
output j""",
    "a softmax beside what is large": """
const big: float32[12] = 300
a = mul(x, big) {} : float32[9x12]
s = softmax(x) {} : float32[9x12]
j = concat(s, a) {'axis': 0} : float32[18x12]
output j""",
    "rows that are flat": """
const gate: float32[9x1] = [0, 1, 1, 0, 1, 1, 1, 1, 1]
a = mul(x, gate) {} : float32[9x12]
n = layernorm(a) {'eps': 1e-05, 'groups': 1} : float32[9x12]
e = linear(n, w) {} : float32[9x12]
output e""",
    "a residual that hardly moves": """
const none: float32[12] = 1e-6
a = mul(x, none) {} : float32[9x12]
b = add(a, c) {} : float32[9x12]
l = linear(x, w) {} : float32[9x12]
e = add(l, b) {} : float32[9x12]
output e""",
}
ONTO_ITSELF = {
    "a layer's own input": """
const wide: float32[12x40] = rand(9)
const back: float32[40x12] = rand(10)
h = linear(x, wide) {} : float32[9x40]
y = unary(h) {'fn': 'gelu'} : float32[9x40]
z = linear(y, back) {} : float32[9x12]
s = linear(z, w) {} : float32[9x12]
e = add(z, s) {} : float32[9x12]
f = linear(e, u) {} : float32[9x12]
g = add(e, f) {} : float32[9x12]
n = layernorm(g) {'eps': 1e-05, 'groups': 1} : float32[9x12]
output n""",
}
CLAMPS = {
    "a ReLU's tokens behind others": """
const t: float32[1x12] = rand(8)
a = linear(x, w) {} : float32[9x12]
r = unary(a) {'fn': 'relu'} : float32[9x12]
j = concat(t, r) {'axis': 0} : float32[10x12]
f = linear(j, u) {} : float32[10x12]
output f""",
    "a ReLU before a LayerNorm": """
a = linear(x, w) {} : float32[9x12]
r = unary(a) {'fn': 'relu'} : float32[9x12]
n = layernorm(r, c) {'eps': 1e-05, 'groups': 1} : float32[9x12]
e = add(n, r) {} : float32[9x12]
output e""",
    "cut on both sides": """
a = linear(x, w) {} : float32[9x12]
r = unary(a) {'fn': 'clip(-1.5, 0.5)'} : float32[9x12]
s = add(r, a) {} : float32[9x12]
p = unary(s) {'fn': 'relu6'} : float32[9x12]
h = unary(p) {'fn': 'hardsigmoid(0.3, 0.1)'} : float32[9x12]
j = concat(h, a) {'axis': 0} : float32[18x12]
output j""",
}
IMAGES = {
    "constants": """
a = mul(y, m) {} : float32[6x5x6]
f = unary(a) {'fn': 'gelu'} : float32[6x5x6]
b = mul(f, c) {} : float32[6x5x6]
s = add(b, y) {} : float32[6x5x6]
e = add(s, table) {} : float32[6x5x6]
z = reshape(e) {'shape': (30, 6)} : float32[30x6]
output z""",
    "clamps": """
r = unary(y) {'fn': 'clip(-1.0, 2.0)'} : float32[6x5x6]
z = conv2d(r, d) {'group': 6, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[6x5x6]
f = unary(z) {'fn': 'relu6'} : float32[6x5x6]
a = reshape(f) {'shape': (30, 6)} : float32[30x6]
const t: float32[2x6] = rand(8)
j = concat(a, t) {'axis': 0} : float32[32x6]
output j""",
}
TOKEN_GRAPHS = CONSTANTS | SLICES | MEANS | GRIDS | ONTO_ITSELF | CLAMPS
IN_FULL = {next(iter(family)) for family in (CONSTANTS, SLICES, MEANS, ONTO_ITSELF, CLAMPS, IMAGES)}


@pytest.mark.parametrize("mode", few(["8", "16"], "8"))
@pytest.mark.parametrize("name", [*TOKEN_GRAPHS, *IMAGES])
def test_values(tmp_path: Path, name: str, mode: str) -> None:
    text = TOKENS + TOKEN_GRAPHS[name] if name in TOKEN_GRAPHS else IMAGE + IMAGES[name]
    graph = verify(parse_graph(text))
    shape = graph.type(graph.inputs[0]).shape
    samples = np.random.default_rng(1).normal(size=(40, *graph.meta["input_shapes"][0][1:]))
    stats = quant.calibrate(graph, samples.astype(np.float32))
    lowered = quant.lower(graph, stats, mode)  # type: ignore[arg-type]
    assert stats.samples is not None
    sqnr_db = signal_db(graph, lowered, stats.samples[0].reshape(-1, *shape))
    assert sqnr_db > (28 if mode == "8" else 40)
    optimize = ("balanced", "ram", "speed")[len(name) % 3]
    emulators = EVERYWHERE if mode == "8" and name in IN_FULL else EVERYWHERE[:1]
    follow(scheduled(lowered, "resident", optimize), tmp_path, emulators)
