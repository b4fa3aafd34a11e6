"""RMSNorm: of a stream, over groups, with and without gamma; its mean is not subtracted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

GRAPH = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const lift: float32[12] = 2.0
const gamma: float32[12] = rand(3)
a = linear(x, w, lift) {} : float32[9x12]
b = layernorm(a) {'eps': 1e-06, 'groups': GROUPS, 'centred': False} : float32[9x12]
c = linear(b, v) {} : float32[9x12]
d = add(c, a) {} : float32[9x12]
e = layernorm(d, gamma) {'eps': 1e-06, 'groups': GROUPS, 'centred': False} : float32[9x12]
f = linear(e, v) {} : float32[9x12]
output OUT
"""


@pytest.mark.parametrize("activations", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("out", ["e", "f"])
def test_values_and_bits(tmp_path: Path, activations: str, groups: int, out: str) -> None:
    graph = verify(parse_graph(GRAPH.replace("GROUPS", str(groups)).replace("OUT", out)).pruned())
    samples = np.random.default_rng(0).normal(size=(24, 9, 12)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]
    least = 30 if activations == "8" else 38
    assert signal_db(graph, integers, samples) > least
    emulators = ("host", "unicorn", "qemu") if groups == 3 else ("host",)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, emulators)


COSINE = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[12x12] = rand(3)
const heat: float32[12] = [1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0, 12.0, 12.0, 12.0, 12.0]
const bias: float32[3x9x9] = rand(4)
a = linear(x, w) {} : float32[9x12]
b = linear(x, u) {} : float32[9x12]
q = layernorm(a, heat) {'eps': 1e-24, 'groups': 3, 'centred': False} : float32[9x12]
k = layernorm(b) {'eps': 1e-24, 'groups': 3, 'centred': False} : float32[9x12]
o = attention(q, k, b, bias) {'heads': 3, 'scale': 0.25} : float32[9x12]
y = linear(o, v) {} : float32[9x12]
output y
"""
UNIT = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const share: float32[12] = 0.288675
a = linear(x, w) {} : float32[9x12]
y = layernorm(a, share) {'eps': 1e-24, 'groups': 1, 'centred': False} : float32[9x12]
output y
"""


@pytest.mark.parametrize("activations", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("text", [COSINE, UNIT], ids=["attention", "output"])
def test_unit_vectors(tmp_path: Path, activations: str, text: str) -> None:
    """Cosine attention with a temperature per head, and a unit vector that leaves the model."""
    graph = verify(parse_graph(text))
    samples = np.random.default_rng(0).normal(size=(24, 9, 12)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]
    # 29.7 and more on these samples, whose ranges leave room for others
    assert signal_db(graph, integers, samples) > (38 if activations == "16" else 29)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, ("host", "unicorn", "qemu"))
