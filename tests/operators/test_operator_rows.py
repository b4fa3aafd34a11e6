"""The table of integer operators, and the verifier that reads it at stage "int"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
import util_models as models

from mcuformer.files.paths import RUNTIME_C
from mcuformer.ir.graph import Graph
from mcuformer.ir.optable import ONNX
from mcuformer.ir.text import parse_graph
from mcuformer.memory.model import Arena
from mcuformer.operators.row import MISSING, IncompleteRow, IntOp, Lowering, Movement
from mcuformer.operators.table import FROM_ONNX, INT_OPS, LOWERED, ins, kinds
from mcuformer.operators.verify import VerifyError, verify
from mcuformer.plan.fit import build
from mcuformer.quant import lower, synthetic_stats
from mcuformer.quant.lowering import LOWER, functions

LINEAR = """
graph g int
input x: int8[4x3]
const w: int8[2x3] = 1
const bias: int32[2] = 0
const mult: int32[2] = 1073741824
const offset: int32[1] = 0
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
        ("offset: int32[1]", "offset: int32[2]", r"operand 4 is \(2,\), wants \(1,\)"),
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


FACETS = [f.name for f in fields(IntOp) if f.default is MISSING]


@pytest.mark.parametrize("facet", FACETS)
def test_a_missing_facet_fails_where_the_row_is_made(facet: str) -> None:
    row = INT_OPS["q_maxpool"]
    given: dict[str, Any] = {name: getattr(row, name) for name in FACETS if name != facet}
    with pytest.raises(IncompleteRow, match=f"q_maxpool: no {facet} is given"):
        IntOp("q_maxpool", **given)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"counted": "w"}, "no operand w"),
        ({"weights": "w"}, "no operand w"),
        ({"cost": None}, "a kernel without cost"),
    ],
)
def test_facets_that_do_not_belong_together(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(IncompleteRow, match=f"q_maxpool: {why}"):
        replace(INT_OPS["q_maxpool"], **changes)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lower_simple.lower_nothing", "q_maxpool: lowered: .*lower_nothing"),
        ("lower_nowhere.lower", "q_maxpool: lowered: .*lower_nowhere"),
    ],
)
def test_a_lowering_that_is_not_there(name: str, why: str) -> None:
    with pytest.raises(IncompleteRow, match=why):
        functions({"maxpool": (Lowering(name), ("q_maxpool",))}, ["maxpool"], {})


def test_a_float_operator_is_lowered_or_refused() -> None:
    lowered = {"maxpool": LOWERED["maxpool"]}
    for floats, refused in ((["maxpool", "roll"], {}), (["maxpool"], {"maxpool": "why"}), ([], {})):
        with pytest.raises(IncompleteRow, match="float operator"):
            functions(lowered, floats, refused)
    assert set(functions(lowered, ["maxpool", "roll"], {"roll": "why"})) == {"maxpool"}


def test_every_row_is_reached_from_a_float_operator() -> None:
    assert {kind for _, to in LOWERED.values() for kind in to} == set(INT_OPS)
    assert set(LOWER) == set(LOWERED)


def test_headers_and_functions_are_there() -> None:
    for row in INT_OPS.values():
        if row.kernel is not None:
            text = (RUNTIME_C / "include" / row.kernel.header).read_text(encoding="utf-8")
            assert re.search(rf"\b{row.kernel.function}\(", text), row.kind


def test_what_ops_lists_is_lowered() -> None:
    compiled = {s.name for s in ONNX.values() if s.use == "compiled"}
    assert compiled <= FROM_ONNX, compiled - FROM_ONNX
    moved = {"Concat", "Resize", "Upsample"}
    assert FROM_ONNX - compiled <= moved


@pytest.mark.parametrize("make", [models.vit, lambda c: models.vit(replace(c, stem=True))])
def test_all_kinds_of_lowered_and_scheduled_graphs_have_rows(make: Callable[..., Graph]) -> None:
    integers = lower(graph := make(models.VitConfig()), synthetic_stats(graph))
    made = build(integers, [Arena("sram", 0x20000000, 300_000)], "bands", "balanced")
    for op in (*integers.ops, *made.program.graph.ops):
        assert op.kind in INT_OPS
