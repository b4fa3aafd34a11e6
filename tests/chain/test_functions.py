"""Every function of one number: behind a layer, and of a value that others read too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_functions import NUMBERS
from util_long import few

from mcuformer import quant
from mcuformer.ir.functions import FUNCTIONS, named
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
a = linear(x, w) {} : float32[9x12]
b = unary(a) {'fn': FN} : float32[9x12]
c = linear(b, v) {} : float32[9x12]
d = add(c, b) {} : float32[9x12]
f = unary(d) {'fn': FN} : float32[9x12]
e = add(f, d) {} : float32[9x12]
output e
"""
STEEP = ("exp", "cosh", "sinh", "sin", "cos", "tan", "log", "asin", "acos", "atanh", "pow")
WITHIN_1 = """
a = linear(x, w) {} : float32[9x12]
s = unary(a) {'fn': 'hardsigmoid(0.03, 0.5)'} : float32[9x12]
b = unary(s) {'fn': FN} : float32[9x12]
c = linear(b, v) {} : float32[9x12]
d = unary(c) {'fn': 'hardsigmoid(0.01, 0.5)'} : float32[9x12]
f = unary(d) {'fn': FN} : float32[9x12]
e = add(f, d) {} : float32[9x12]
output e
"""
HEAD = GRAPH.partition("a = linear")[0]


@pytest.mark.parametrize("activations", few(["8", "16"], "8"))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(tmp_path: Path, name: str, activations: str) -> None:
    numbers = [NUMBERS[n] for n in FUNCTIONS[name].numbers]
    fn = named(name, *numbers) if numbers else name
    text = HEAD + WITHIN_1.lstrip() if name in STEEP else GRAPH
    graph = verify(parse_graph(text.replace("FN", repr(fn))))
    samples = np.random.default_rng(0).normal(size=(24, 9, 12)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]
    least = 30 if activations == "8" else 40  # of two layers with weights of 8 bits
    assert signal_db(graph, integers, samples) > least
    everywhere = ("host", "unicorn", "qemu") if name in ("gelu", "leaky_relu") else ("host",)
    follow(scheduled(integers, "resident", "balanced"), tmp_path, everywhere)
