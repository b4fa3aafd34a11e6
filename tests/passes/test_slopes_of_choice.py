"""Where(x > 0, x, x*s) is a PRelu."""

import numpy as np
import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.text import parse_graph
from mcuformer.passes.slopes_of_choice import slopes_of_choice

X = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
HEAD = """graph g onnx
input x: float32[2x3]
const s: float32[3] = [0.1, 0.5, 1.5]
const zero: float32[] = 0.0
const one: float32[] = 1.0
"""


def graph_of(*lines: str) -> Graph:
    body = "\n".join(f"{line} {{}} : float32[2x3]" for line in lines)
    return parse_graph(f"{HEAD}{body}\noutput y")


@pytest.mark.parametrize(
    "lines",
    [
        ("c = Greater(x, zero)", "b = Mul(x, s)", "y = Where(c, x, b)"),
        ("c = GreaterOrEqual(x, zero)", "b = Mul(s, x)", "y = Where(c, x, b)"),
        ("c = Less(x, zero)", "b = Mul(x, s)", "y = Where(c, b, x)"),
        ("c = Less(zero, x)", "b = Mul(x, s)", "y = Where(c, x, b)"),
        ("c = GreaterOrEqual(zero, x)", "b = Mul(s, x)", "y = Where(c, b, x)"),
        ("g = LessOrEqual(x, zero)", "c = Not(g)", "b = Mul(x, s)", "y = Where(c, x, b)"),
    ],
)
def test_a_slope_per_channel(lines: tuple[str, ...]) -> None:
    graph = graph_of(*lines)
    after = slopes_of_choice(graph)
    assert [(op.kind, op.inputs) for op in after.ops] == [("PRelu", ("x", "s"))]
    np.testing.assert_allclose(run_onnx(after, {"x": X})["y"], run_onnx(graph, {"x": X})["y"])


@pytest.mark.parametrize(
    "lines",
    [
        ("c = Less(zero, x)", "b = Mul(x, s)", "y = Where(c, b, x)"),
        ("c = Greater(x, one)", "b = Mul(x, s)", "y = Where(c, x, b)"),  # it jumps at 1
        ("c = Greater(x, zero)", "b = Mul(x, s)", "y = Where(c, b, x)"),  # the other way round
        ("c = Greater(x, zero)", "b = Add(x, s)", "y = Where(c, x, b)"),
        ("r = Relu(x)", "c = Greater(r, zero)", "b = Mul(x, s)", "y = Where(c, x, b)"),
    ],
)
def test_near_misses_stay(lines: tuple[str, ...]) -> None:
    graph = graph_of(*lines)
    assert slopes_of_choice(graph) is graph
