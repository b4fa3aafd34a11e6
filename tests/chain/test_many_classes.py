"""A softmax over thousands of classes, as of text recognition: sums beyond 2^26, quotients of 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify

GRAPH = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 3, 8),)
meta output_shapes = ((1, 3, 6625),)
input x: float32[3x8]
const w: float32[8x6625] = rand(1)
a = linear(x, w) {} : float32[3x6625]
y = softmax(a) {} : float32[3x6625]
output y
"""


def lowered(spread: float, activations: str) -> Graph:
    graph = verify(parse_graph(GRAPH))
    x = np.random.default_rng(0).normal(size=(8, 3, 8)).astype(np.float32) * spread
    return quant.lower(graph, quant.calibrate(graph, x), activations)  # type: ignore[arg-type]


@pytest.mark.parametrize("activations", ["8", "16"])
@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_through_the_chain(tmp_path: Path, spread: float, activations: str) -> None:
    made = scheduled(lowered(spread, activations), "resident", "balanced")
    follow(made, tmp_path, ("host", "unicorn", "qemu") if spread < 1 else ("host",))


def test_equal_classes_round_to_nothing() -> None:
    graph = lowered(1.0, "8")
    x = np.zeros((1, 3, 8), np.int8)
    x[:] = graph.type(graph.inputs[0]).qparams.quantise(np.zeros((1, 3, 8)), "int8")  # type: ignore[union-attr]
    y = run_int(graph, [x])[graph.outputs[0]]
    assert set(np.unique(y)) == {-128}
