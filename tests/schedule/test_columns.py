"""What a range of channels reads of an operation: every operand along them is cut, no other."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.schedule.columns import can_cut, split_column_views, take_columns

GRAPH = parse_graph("""
graph g int
input x: int8[3x6]
const w: int8[6x6] = 1
const b: int32[6] = [1, 2, 3, 4, 5, 6]
const m: int32[6] = [536870912, 536870912, 536870912, 536870912, 536870912, 536870912]
const o: int32[6] = [4, 4, 4, 4, 4, 4]
const r: int32[6] = [1, 2, 3, 4, 5, 6]
y = q_linear(x, w, b, m, o, x, r, _) {'x_zp': 0, 'shift': 3} : int8[3x6]
z = q_linear(x, w, b, m, o, x, r, _) {'x_zp': 1, 'shift': 3} : int8[3x6]
s = q_softmax(y) {} : int8[3x6]
n = q_layernorm(y, _, _, _, _) {'groups': 3} : int8[3x6]
p = slice(y) {'axis': 1, 'start': 1, 'stop': 4} : int8[3x3]
q = slice(y) {'axis': 1, 'start': 3, 'stop': 6} : int8[3x3]
again = slice(y) {'axis': 1, 'start': 1, 'stop': 4} : int8[3x3]
other = slice(z) {'axis': 1, 'start': 1, 'stop': 4} : int8[3x3]
""")


def only(*outputs: str) -> Graph:
    return GRAPH.replace(outputs=outputs).pruned()


def test_slices_of_a_layer_with_a_residual_are_layers() -> None:
    graph = only("p", "q")
    split = split_column_views(graph)
    assert [op.kind for op in split.ops] == ["slice", "q_linear", "slice", "q_linear"]
    x = np.random.default_rng(0).integers(-128, 128, (4, 3, 6)).astype(np.int8)
    before, after = run_int(graph, x), run_int(split, x)
    for name in ("p", "q"):
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize("second", ["again", "other"])
def test_layers_that_are_cut_alike_share_the_columns_of_their_residual(second: str) -> None:
    split = split_column_views(only("p", second))
    assert [op.kind for op in split.ops] == ["slice", "q_linear", "q_linear"]
    x = np.random.default_rng(0).integers(-128, 128, (4, 3, 6)).astype(np.int8)
    before, after = run_int(only("p", second), x), run_int(split, x)
    for name in ("p", second):
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize(
    ("name", "start", "stop", "allowed"),
    [("y", 1, 4, True), ("s", 0, 3, False), ("n", 2, 6, True), ("n", 1, 3, False)],
)
def test_what_can_be_cut(name: str, start: int, stop: int, allowed: bool) -> None:
    op = GRAPH.producers()[name]
    assert can_cut(GRAPH.values, op, start, stop) == allowed


def test_whole_groups_of_a_layernorm() -> None:
    part = take_columns(dict(GRAPH.values), GRAPH.producers()["n"], 2, 6, {"y": "y[2:6]"})
    assert part.attrs["groups"] == 2 and part.inputs[0] == "y[2:6]"
