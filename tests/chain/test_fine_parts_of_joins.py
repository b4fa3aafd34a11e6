"""What reads a part of a join beside it: its dB with the join and without, and the bits of the chain."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

MAP = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 8, 8, 8),)
meta output_shapes = ((1,), (1,))
input x: float32[8x8x8]
const k: float32[3x3x8x8] = rand(1)
const l: float32[3x3x8x4] = rand(2)
const m: float32[3x3x8x4] = rand(3)
const n: float32[16x5] = rand(4)
const wall: float32[1x8] = 100.0
const hundred: float32[8] = 100.0
b = conv2d(x, m) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[8x8x4]
r = reshape(x) {'shape': (64, 8)} : float32[64x8]
output b
"""
TOKENS = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 16, 12),)
meta output_shapes = ((1,), (1,))
input x: float32[16x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[24x12] = rand(3)
const hundred: float32[12] = 100.0
s = linear(x, w) {} : float32[16x12]
n = layernorm(s) {'eps': 1e-05, 'groups': 1} : float32[16x12]
f = linear(n, v) {} : float32[16x12]
t = add(s, f) {} : float32[16x12]
o = layernorm(t) {'eps': 1e-05, 'groups': 1} : float32[16x12]
b = linear(o, w) {} : float32[16x12]
e = mul(f, hundred) {} : float32[16x12]
output b
"""
JOINS = {
    "channels": f"""{MAP}
c = conv2d(x, k) {{'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)}} : float32[8x8x8]
q = reshape(c) {{'shape': (64, 8)}} : float32[64x8]
d = mul(q, hundred) {{}} : float32[64x8]
j = concat(r, d) {{'axis': 1}} : float32[64x16]
y = linear(j, n) {{}} : float32[64x5]
output y""",
    "padding": f"""{MAP}
j = concat(r, wall) {{'axis': 0}} : float32[65x8]
g = gather(j) {{'indices': {tuple([64] * 8 + list(range(64)) + [64] * 8)}}} : float32[80x8]
h = reshape(g) {{'shape': (10, 8, 8)}} : float32[10x8x8]
y = conv2d(h, l) {{'group': 1, 'pads': (0, 1, 0, 1), 'strides': (1, 1)}} : float32[8x8x4]
output y""",
    "stream, rows": f"""{TOKENS}
j = concat(t, e) {{'axis': 0}} : float32[32x12]
y = linear(j, v) {{}} : float32[32x12]
output y""",
    "stream, channels": f"""{TOKENS}
j = concat(e, t) {{'axis': 1}} : float32[16x24]
y = linear(j, u) {{}} : float32[16x12]
output y""",
}


def drawn(name: str) -> tuple[Graph, np.ndarray]:
    graph = verify(parse_graph(JOINS[name]))
    shape = graph.meta["input_shapes"][0]
    return graph, np.random.default_rng(5).uniform(-1, 1, (32, *shape[1:])).astype(np.float32)


def lowered(graph: Graph, samples: np.ndarray) -> tuple[Graph, float]:
    """The int graph, and dB of its first output."""
    stats = quant.calibrate(graph, samples)
    made = quant.lower(graph, stats)
    return made, signal_db(graph, made, stats.some(slice(32))[0])


@pytest.mark.parametrize("mode", few(["resident", "bands", "flash"], "resident"))
@pytest.mark.parametrize("name", JOINS)
def test_a_reader_beside_a_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    graph, samples = drawn(name)
    made, db = lowered(graph, samples)
    _, alone = lowered(graph.replace(outputs=("b",)).pruned(), samples)
    assert db >= alone - 1
    for optimize in ("ram", "speed"):
        (tmp_path / optimize).mkdir()
        follow(scheduled(made, mode, optimize), tmp_path / optimize, ("host",))
    module = importlib.import_module("mcuformer.quant.lower")
    monkeypatch.setattr(module, "regrid_fine_parts", lambda stats, _: stats)
    shared, before = lowered(graph, samples)
    assert before < 15
    with_copy, without = (scheduled(g, mode, "ram").plan.arena_bytes for g in (made, shared))
    assert with_copy <= without, "the copy is made where the join lies"
