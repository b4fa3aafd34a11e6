"""Values whose readers meet again in one region: tiles of them, and the bits of the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify
from mcuformer.schedule.meetings import meeting
from mcuformer.schedule.regions import materialised

HEAD = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 20, 12),)
meta output_shapes = ((1,),)
input x: float32[20x12]
const down: float32[12x4] = rand(1)
const up: float32[4x12] = rand(2)
const w: float32[12x12] = rand(3)
const v: float32[12x12] = rand(4)
const u: float32[12x12] = rand(5)
const wide: float32[12x24] = rand(6)
const back: float32[24x12] = rand(7)
s = linear(x, w) {} : float32[20x12]
n = layernorm(s) {'eps': 1e-05, 'groups': 1} : float32[20x12]
"""
ADAPTER = """
d = linear(n, down) {} : float32[20x4]
p = linear(d, up) {} : float32[20x12]
a = add(n, p) {} : float32[20x12]
"""
MLP = """
h = linear(a, wide) {} : float32[20x24]
g = unary(h) {'fn': 'gelu'} : float32[20x24]
b = linear(g, back) {} : float32[20x12]
t = add(s, b) {} : float32[20x12]
"""
NETWORKS = {  # whether the norm is made in tiles
    "adapter in front of an MLP": (True, f"{ADAPTER}{MLP}e = linear(t, v) {{}} : float32[20x12]"),
    "adapter in front of an MLP and a mean": (
        True,
        f"""{ADAPTER}{MLP}
z = layernorm(t) {{'eps': 1e-05, 'groups': 1}} : float32[20x12]
m = mean(z) {{}} : float32[1x12]
e = linear(m, v) {{}} : float32[1x12]""",
    ),
    "adapter in front of an attention": (
        True,
        f"""{ADAPTER}
q = linear(a, w) {{}} : float32[20x12]
k = linear(a, v) {{}} : float32[20x12]
l = linear(a, u) {{}} : float32[20x12]
o = attention(q, k, l) {{'heads': 2, 'scale': 0.02}} : float32[20x12]
e = add(o, s) {{}} : float32[20x12]""",
    ),
    "gated hidden layer": (
        True,
        """
h = linear(n, wide) {} : float32[20x24]
i = linear(n, wide) {} : float32[20x24]
g = unary(h) {'fn': 'silu'} : float32[20x24]
j = mul(g, i) {} : float32[20x24]
b = linear(j, back) {} : float32[20x12]
e = add(b, s) {} : float32[20x12]""",
    ),
    "another region reads it": (
        False,
        f"""{ADAPTER}{MLP}
m = mean(n) {{}} : float32[1x12]
e = add(t, m) {{}} : float32[20x12]""",
    ),
    "an attention reads it": (
        False,
        """
o = attention(n, n, n) {'heads': 2, 'scale': 0.02} : float32[20x12]
b = linear(n, v) {} : float32[20x12]
e = add(o, b) {} : float32[20x12]""",
    ),
}


def network(text: str) -> tuple[Graph, Graph]:
    graph = verify(parse_graph(f"{HEAD}{text}\noutput e").pruned())
    samples = np.random.default_rng(1).normal(size=(40, 20, 12)).astype(np.float32)
    stats = quant.calibrate(graph, samples)
    lowered = quant.lower(graph, stats)
    assert signal_db(graph, lowered, samples) > 20
    return graph, lowered


@pytest.mark.parametrize("name", NETWORKS)
def test_readers_that_meet(tmp_path: Path, name: str) -> None:
    in_tiles, text = NETWORKS[name]
    _, lowered = network(text)
    (norm,) = (op.outputs[0] for op in lowered.ops if op.name == "n")
    assert (norm not in materialised(lowered)) == in_tiles
    emulators: tuple[str, ...] = ("host", "unicorn")
    for optimize in ("ram", "speed"):
        work = tmp_path / optimize
        work.mkdir()
        follow(scheduled(lowered, "resident", optimize), work, emulators)
        emulators = emulators[:1]


def test_a_network_gives_what_it_gives_away() -> None:
    """An output is whole, and so is what a layer with weights makes: it may be a stream."""
    _, lowered = network(f"{ADAPTER}{MLP}e = linear(t, v) {{}} : float32[20x12]")
    norm = next(op.outputs[0] for op in lowered.ops if op.name == "n")
    whole = materialised(lowered) | {norm}
    assert meeting(lowered, whole) == {norm}
    assert not meeting(lowered.replace(outputs=(norm, *lowered.outputs)), whole)
