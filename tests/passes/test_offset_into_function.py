"""An offset behind HardSwish: one function where it is one number that alone is added."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.text import parse_graph
from mcuformer.passes.offset_into_function import offset_into_function

HEAD = """
graph g float
meta input_layouts = ('NHWC',)
meta input_shapes = ((1, 4, 5, 3),)
meta output_shapes = ((1, 4, 5, 3),)
input x: float32[4x5x3]
const one: float32[3] = {one}
const three: float32[3] = [0.5, -1.0, 2.0]
h = unary(x) {{'fn': '{fn}'}} : float32[4x5x3]
"""
SUM = "y = add(h, one) {} : float32[4x5x3]\noutput y\n"
TURNED = "y = add(one, h) {} : float32[4x5x3]\noutput y\n"
PER_CHANNEL = "y = add(h, three) {} : float32[4x5x3]\noutput y\n"
READ_TWICE = "s = add(h, one) {} : float32[4x5x3]\ny = mul(s, h) {} : float32[4x5x3]\noutput y\n"


def parsed(tail: str, fn: str = "hardswish") -> Graph:
    return parse_graph(HEAD.format(one="[-1.25, -1.25, -1.25]", fn=fn) + tail)


@pytest.mark.parametrize("tail", [SUM, TURNED])
def test_the_sum_is_in_the_function(tail: str) -> None:
    before = parsed(tail)
    after = offset_into_function(before).pruned()
    assert [(o.kind, o.attrs.get("fn")) for o in after.ops] == [("unary", "hardswish_plus(-1.25)")]
    x = np.random.default_rng(1).normal(size=(1, 4, 5, 3), scale=3).astype(np.float32)
    *_, (_, expected) = eval_steps(before, x)
    *_, (_, got) = eval_steps(after, x)
    np.testing.assert_array_equal(got["y"], expected["y"])


@pytest.mark.parametrize("tail", [PER_CHANNEL, READ_TWICE])
def test_what_stays(tail: str) -> None:
    graph = parsed(tail)
    assert offset_into_function(graph) is graph


def test_other_functions_stay() -> None:
    graph = parsed(SUM, "relu")
    assert offset_into_function(graph) is graph


def test_a_grid_that_is_given_stays() -> None:
    graph = parsed(SUM)
    graph = graph.replace(meta={**graph.meta, "qdq": {"h": (0.1, 0, "int8")}})
    assert [o.kind for o in offset_into_function(graph).ops] == ["unary", "add"]
