"""GroupNorm, InstanceNorm, roots of mean squares, quotients: statistics over rows, then row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify

HEAD = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const lift: float32[12] = 2.0
const gamma: float32[12] = rand(3)
const still: float32[12x12] = 0.0
const zero: float32[12] = 0.0
const flat: float32[12] = rand(4)
const tiny: float32[1] = 0.001
const mean: float32[12x1] = 0.0833333
"""
NORMS = """
a = linear(x, w, lift) {} : float32[9x12]
b = groupnorm(a) {'eps': 1e-05, 'groups': GROUPS} : float32[9x12]
c = linear(b, v) {} : float32[9x12]
d = add(c, a) {} : float32[9x12]
e = groupnorm(d, gamma, lift) {'eps': 1e-05, 'groups': GROUPS} : float32[9x12]
f = unary(e) {'fn': 'gelu'} : float32[9x12]
h = linear(f, v) {} : float32[9x12]
output OUT
"""
RESPONSE = """
a = linear(x, w, lift) {} : float32[9x12]
g = rms(a) {'eps': 0.0, 'groups': 12, 'centred': False} : float32[1x12]
m = linear(g, mean, tiny) {} : float32[1x1]
r = power(m) {'exponent': -1.0} : float32[1x1]
n = mul(g, r) {} : float32[1x12]
y = mul(a, n) {} : float32[9x12]
z = mul(y, gamma) {} : float32[9x12]
s = add(z, a) {} : float32[9x12]
output OUT
"""
DEVIATION = """
a = linear(x, w) {} : float32[9x12]
g = rms(a) {'eps': 0.01, 'groups': 4} : float32[1x4]
r = power(g) {'exponent': EXPONENT} : float32[1x4]
h = reshape(r) {'shape': (4, 1)} : float32[4x1]
i = gather(h) {'indices': (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)} : float32[12x1]
j = reshape(i) {'shape': (1, 12)} : float32[1x12]
y = mul(a, j) {} : float32[9x12]
output OUT
"""


def lowered(text: str, activations: str, **words: object) -> tuple[Graph, Graph, np.ndarray]:
    for word, value in words.items():
        text = text.replace(word, str(value))
    graph = verify(parse_graph(HEAD + text).pruned())
    samples = np.random.default_rng(0).normal(size=(24, 9, 12)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]
    return graph, integers, samples


@pytest.mark.parametrize("activations", few(["8", "mixed", "16"], "8"))
@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("out", ["e", "h"])
def test_norms(tmp_path: Path, activations: str, groups: int, out: str) -> None:
    """Of a layer and of a stream that others read, with and without gamma, in front of a function."""
    graph, integers, samples = lowered(NORMS, activations, GROUPS=groups, OUT=out)
    assert signal_db(graph, integers, samples) > (28 if activations == "8" else 38)
    emulators = ("host", "unicorn", "qemu") if groups == 3 and out == "h" else ("host",)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, emulators)


@pytest.mark.parametrize("activations", few(["8", "16"], "8"))
@pytest.mark.parametrize("out", ["n", "s"])
def test_global_response(tmp_path: Path, activations: str, out: str) -> None:
    """ConvNeXt v2: every channel times its norm over the mean of all norms."""
    graph, integers, samples = lowered(RESPONSE, activations, OUT=out)
    assert signal_db(graph, integers, samples) > (30 if activations == "8" else 45)
    emulators = ("host", "unicorn", "qemu") if out == "s" else ("host",)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, emulators)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.5])
@pytest.mark.parametrize("out", ["r", "y"])
def test_by_a_deviation(tmp_path: Path, exponent: float, out: str) -> None:
    graph, integers, samples = lowered(DEVIATION, "8", EXPONENT=exponent, OUT=out)
    assert signal_db(graph, integers, samples) > 30
    follow(scheduled(integers, "resident", "balanced"), tmp_path, ("host",))


STILL = """
a = linear(x, still, BIAS) {} : float32[9x12]
b = groupnorm(a, gamma, lift) {'eps': 1e-05, 'groups': GROUPS} : float32[9x12]
g = rms(a) {'eps': 0.0, 'groups': GROUPS, 'centred': CENTRED} : float32[1xGROUPS]
r = power(g) {'exponent': -1.0} : float32[1xGROUPS]
n = layernorm(a) {'eps': 1e-24, 'groups': GROUPS, 'centred': False} : float32[9x12]
output b
output g
output r
output n
"""


@pytest.mark.parametrize("activations", few(["8", "16"], "8"))
@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("bias", ["lift", "flat", "zero"])
def test_what_never_moves(tmp_path: Path, activations: str, groups: int, bias: str) -> None:
    """Groups without variance, and of zeros alone: as defined as any other."""
    words = {"BIAS": bias, "GROUPS": groups, "CENTRED": groups == 3}
    _, integers, samples = lowered(STILL, activations, **words)
    got = real_outputs(integers, samples)
    if bias != "flat":  # normalised to nothing: beta alone is left
        np.testing.assert_allclose(got[0], 2.0, atol=0.05)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, ("host", "unicorn"))


def real_outputs(integers: Graph, samples: np.ndarray) -> list[np.ndarray]:
    x = integers.type("x").qparams
    assert x is not None
    env = run_int(integers, x.quantise(samples, integers.type("x").dtype))
    found = []
    for name in integers.outputs:
        qparams = integers.type(name).qparams
        assert qparams is not None
        found.append(qparams.dequantise(env[name]))
    return found


@pytest.mark.parametrize("groups", [1, 12])
def test_flatter_groups_than_any_seen(groups: int) -> None:
    """An image six times as flat as the flattest of few calibration samples: int16 results have bits to spare
    for its multiplier."""
    text = "b = groupnorm(x) {'eps': 1e-05, 'groups': GROUPS} : float32[9x12]\noutput b\n"
    graph, integers, samples = lowered(text, "16", GROUPS=groups)
    least = samples.std(axis=1 if groups == 12 else (1, 2)).min()
    flat = samples * np.float32(least / 6 / samples.std(axis=(1, 2), keepdims=True))
    assert signal_db(graph, integers, flat) > 45
