"""Rows and columns that a sum or product reads again: whole, of stride 0, never cut or recomputed."""

from __future__ import annotations

import pytest

from mcuformer.ir.text import parse_graph
from mcuformer.program.buffers import Span
from mcuformer.program.expressions import Expr
from mcuformer.schedule.columns import cut_activations, take_columns
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import materialised, recomputed, repeated

GRAPH = parse_graph("""
graph g int
input x: int8[8x6]
const w: int8[6x6] = 1
const one: int8[1x6] = 1
const p: int32[6] = [1, 2, 3, 4, 5, 6]
const p1: int32[1] = [1]
m = q_mean(x, p, p, p) {'shift': 3, 'acc_shift': 0} : int8[1x6]
row = q_linear(m, w, p, p, p, _, _, _) {'x_zp': 0, 'shift': 3} : int8[1x6]
column = q_linear(x, one, p1, p1, p1, _, _, _) {'x_zp': 0, 'shift': 3} : int8[8x1]
q = q_mul(x, row, p, p) {'a_zp': 0, 'b_zp': 0, 'shift': 3, 'acc_shift': 0} : int8[8x6]
k = q_mul(x, column, p, p) {'a_zp': 0, 'b_zp': 0, 'shift': 3, 'acc_shift': 0} : int8[8x6]
o = q_attention(q, k, x, _) {'heads': 2} : int8[8x6]
output o
""")


def test_a_repeated_row_exists_whole() -> None:
    made = GRAPH.producers()
    assert repeated(GRAPH, made["q"]) == ["row"] and not repeated(GRAPH, made["k"])
    assert recomputed(GRAPH) == {"q", "k", "column"}
    assert "row" in materialised(GRAPH)


@pytest.mark.parametrize(("name", "cut"), [("q", ["x", "row"]), ("k", ["x"])])
def test_a_heads_share(name: str, cut: list[str]) -> None:
    op, values = GRAPH.producers()[name], dict(GRAPH.values)
    assert cut_activations(values, op) == cut
    part = take_columns(values, op, 3, 6, {n: f"{n}[3:6]" for n in cut})
    assert part.inputs[1] == ("row[3:6]" if name == "q" else "column")


def test_the_bytes_of_a_repeated_row_are_one_row() -> None:
    at = Loc(Expr(16), 0, 6, "b")
    assert at.span(Expr(8)) == (Span("b", Expr(16), 6, 6, Expr(1)),)
