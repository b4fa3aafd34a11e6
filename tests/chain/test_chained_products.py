"""Products of two activations: first, last, between, row by row, read whole, over their own operands."""

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
START = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 20, 12),)
meta output_shapes = ((1,),)
input x: float32[20x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[12x12] = rand(3)
const mix: float32[3x3] = rand(4)
const few: float32[12x3] = rand(5)
const grid: float32[20x60] = rand(6)
const seed: float32[1x12] = rand(7)
q = linear(x, w) {} : float32[20x12]
k = linear(x, v) {} : float32[20x12]
z = linear(x, u) {} : float32[20x12]
"""
SCORES = """
s = matmul(q, k) {'a': 'm.hk', 'b': 'n.hk', 'y': 'm.hn', 'sizes': (1, 3, 20, 20, 4), 'scale': 0.3} : float32[20x60]"""
WEIGHED = """
r = reshape(p) {'shape': (20, 60)} : float32[20x60]
e = matmul(r, z) {'a': 'm.hk', 'b': 'k.hn', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 20), 'scale': 1.0} : float32[20x12]"""
SOFTMAX = """
l = reshape(s) {'shape': (60, 20)} : float32[60x20]
p = softmax(l) {} : float32[60x20]"""
GRAPHS = {
    "scores last": SCORES.replace("s =", "e ="),
    "attention in parts": SCORES + SOFTMAX + WEIGHED,
    "of the input": """
e = matmul(x, x) {'a': 'm.k', 'b': 'n.k', 'y': 'm.n', 'sizes': (1, 1, 20, 20, 12), 'scale': 0.2} : float32[20x20]""",
    "of channels": """
s = matmul(q, k) {'a': 'k.hm', 'b': 'k.hn', 'y': 'hm.n', 'sizes': (1, 3, 4, 4, 20), 'scale': 0.1} : float32[12x4]
p = softmax(s) {} : float32[12x4]
e = matmul(z, p) {'a': 'm.hk', 'b': 'hn.k', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 4), 'scale': 1.0} : float32[20x12]""",
    "linear attention": """
s = matmul(k, z) {'a': 'k.hm', 'b': 'k.hn', 'y': 'hm.n', 'sizes': (1, 3, 4, 4, 20), 'scale': 0.05} : float32[12x4]
o = matmul(q, s) {'a': 'm.hk', 'b': 'hk.n', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 4), 'scale': 1.0} : float32[20x12]
a = linear(o, w) {} : float32[20x12]
e = add(a, x) {} : float32[20x12]""",
    "mixed heads": SCORES + """
t = matmul(s, mix) {'a': 'g.km', 'b': 'k.n', 'y': 'g.nm', 'sizes': (20, 1, 20, 3, 3), 'scale': 1.0} : float32[20x60]
i = add(t, grid) {} : float32[20x60]
l = reshape(i) {'shape': (60, 20)} : float32[60x20]
p = softmax(l) {} : float32[60x20]""" + WEIGHED,
    "windows": """
s = matmul(q, k) {'a': 'gm.hk', 'b': 'gn.hk', 'y': 'gm.hn', 'sizes': (4, 3, 5, 5, 4), 'scale': 0.3} : float32[20x15]
l = reshape(s) {'shape': (60, 5)} : float32[60x5]
p = softmax(l) {} : float32[60x5]
r = reshape(p) {'shape': (20, 15)} : float32[20x15]
e = matmul(r, z) {'a': 'gm.hk', 'b': 'gk.hn', 'y': 'gm.hn', 'sizes': (4, 3, 5, 4, 5), 'scale': 1.0} : float32[20x12]""",
    "one query": """
s = matmul(seed, k) {'a': '.hk', 'b': 'n.hk', 'y': 'h.n', 'sizes': (1, 3, 1, 20, 4), 'scale': 0.3} : float32[3x20]
p = softmax(s) {} : float32[3x20]
e = matmul(p, z) {'a': 'h.k', 'b': 'k.hn', 'y': 'h.n', 'sizes': (1, 3, 1, 4, 20), 'scale': 1.0} : float32[3x4]""",
    "a computed factor": SCORES.replace("0.3", "0.03") + """
j = linear(z, few) {} : float32[20x3]
b = matmul(z, few) {'a': 'm.k', 'b': 'k.n', 'y': 'm.n', 'sizes': (1, 1, 20, 3, 12), 'scale': 0.1} : float32[20x3]
c = unary(b) {'fn': 'sigmoid'} : float32[20x3]
d = reshape(c) {'shape': (60, 1)} : float32[60x1]
g = reshape(j) {'shape': (60, 1)} : float32[60x1]
f = reshape(s) {'shape': (60, 20)} : float32[60x20]
i = mul(f, d) {} : float32[60x20]
l = add(i, g) {} : float32[60x20]
p = softmax(l) {} : float32[60x20]""" + WEIGHED,
    "its own gate": """
s = matmul(q, q) {'a': 'm.hk', 'b': 'n.hk', 'y': 'm.hn', 'sizes': (1, 3, 20, 20, 4), 'scale': 0.3} : float32[20x60]
o = matmul(s, q) {'a': 'm.hk', 'b': 'k.hn', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 20), 'scale': 0.2} : float32[20x12]
e = add(o, q) {} : float32[20x12]""",
    "between attentions": """
o = attention(q, k, z) {'heads': 3, 'scale': 0.05} : float32[20x12]
s = matmul(o, k) {'a': 'm.hk', 'b': 'n.hk', 'y': 'm.hn', 'sizes': (1, 3, 20, 20, 4), 'scale': 0.02} : float32[20x60]
t = matmul(s, z) {'a': 'm.hk', 'b': 'k.hn', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 20), 'scale': 0.1} : float32[20x12]
i = linear(t, w) {} : float32[20x12]
e = attention(t, k, i) {'heads': 3, 'scale': 0.05} : float32[20x12]""",
    "joined": SCORES + """
c = slice(s) {'axis': 1, 'start': 0, 'stop': 12} : float32[20x12]
o = matmul(c, z) {'a': 'm.k', 'b': 'n.k', 'y': 'm.n', 'sizes': (1, 1, 20, 20, 12), 'scale': 0.2} : float32[20x20]
e = concat(o, z, c) {'axis': 1} : float32[20x44]""",
}  # fmt: skip
IN_FULL = {"attention in parts", "of channels", "mixed heads", "windows", "its own gate"}


@pytest.mark.parametrize("mode", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("name", GRAPHS)
def test_products(tmp_path: Path, name: str, mode: str) -> None:
    graph = verify(parse_graph(f"{START}{GRAPHS[name]}\noutput e").pruned())
    samples = np.random.default_rng(1).normal(size=(40, 20, 12)).astype(np.float32)
    stats = quant.calibrate(graph, samples)
    lowered = quant.lower(graph, stats, mode)  # type: ignore[arg-type]
    assert stats.samples is not None
    signal = signal_db(graph, lowered, stats.samples[0].reshape(-1, 20, 12))
    print(f"{name} {mode}: {signal:.1f} dB")
    assert signal > (34 if mode == "16" else 20)
    emulators = EVERYWHERE if mode == "8" and name in IN_FULL else EVERYWHERE[:1]
    for optimize in ("ram", "speed"):
        work = tmp_path / optimize
        work.mkdir()
        follow(scheduled(lowered, "resident", optimize), work, emulators)
        emulators = EVERYWHERE[:1]


GATED = (
    SCORES
    + """
t = unary(s) {'fn': 'sigmoid'} : float32[20x60]
e = matmul(t, z) {'a': 'm.hk', 'b': 'k.hn', 'y': 'm.hn', 'sizes': (1, 3, 20, 4, 20), 'scale': 1.0} : float32[20x12]
"""
)


def test_scores_stay_in_a_tile() -> None:
    """Row by row in the left operand; whole, the scores and their gates would be 2,400 bytes."""
    graph = verify(parse_graph(f"{START}{GATED}output e").pruned())
    samples = np.random.default_rng(1).normal(size=(40, 20, 12)).astype(np.float32)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    assert scheduled(lowered, "resident", "ram").plan.arena_bytes < 1600
