"""The table of integer operators, and the verifier that reads it at stage "int"."""

from __future__ import annotations

from typing import get_args

import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.ir.verify import VerifyError, verify
from mcuformer.operators.row import Movement
from mcuformer.operators.table import INT_OPS, ins, kinds

LINEAR = """
graph g int
input x: int8[4x3]
const w: int8[2x3] = 1
const bias: int32[2] = 0
const mult: int32[2] = 1073741824
const offset: int32[2] = 0
y = q_linear(x, w, bias, mult, offset) {'x_zp': 0, 'shift': 3} : int8[4x2]
output y
"""


def graph(old: str = "", new: str = "") -> Graph:
    assert old in LINEAR
    return parse_graph(LINEAR.replace(old, new))


def test_operands_by_name() -> None:
    op = verify(graph()).ops[0]
    assert (ins(op).w, ins(op).offset, ins(op).res, ins(op).table) == ("w", "offset", None, None)
    with pytest.raises(AttributeError, match="q_linear has no operand gamma"):
        _ = ins(op).gamma


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("w: int8[2x3]", "w: int8[2x4]", "x has 3 channels"),
        ("bias: int32[2]", "bias: int32[3]", r"operand 2 is \(3,\), wants \(2,\)"),
        (": int8[4x2]", ": int8[4x3]", r"result is \(4, 3\), the rule says \(4, 2\)"),
        ("q_linear(x, w, bias, mult, offset)", "q_linear(x, w, bias, mult)", "offset is missing"),
        ("q_linear(", "q_linaer(", "no operator of stage int"),
        ("(x, w, bias", "(x, _, bias", "operand w is missing"),
    ],
)
def test_what_the_row_forbids(old: str, new: str, why: str) -> None:
    with pytest.raises(VerifyError, match=why):
        verify(graph(old, new))


def test_every_kind_moves_in_one_way() -> None:
    ways = [kinds(way) for way in get_args(Movement)]
    assert sum(map(len, ways)) == len(INT_OPS) == len(frozenset().union(*ways))


def test_what_is_cut_runs_along_the_channels() -> None:
    for row in INT_OPS.values():
        if row.cut:
            assert any(o.along is not None for o in row.operands), row.kind
