"""concat, slice, gather, reshape: the same bytes elsewhere. They have no const struct, and the
schedule of their movement (schedule/ways/join.py, gather.py) calls mcf_copy, mcf_gather, mcf_walk or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcuformer.ir import int_ops_simple as evaluate
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import CANONICAL
from mcuformer.kernels.walks import nest
from mcuformer.operators.row import IntOp, Lowering, as_it_is, named, none

MOST_ROWS = 65535  # that a table of uint16 can tell apart, and one mark


def _too_many(graph: Graph, op: Op) -> str | None:
    many = graph.type(str(op.inputs[0])).shape[0] > MOST_ROWS and nest(op.attrs["indices"]) is None
    return f"a choice among more than {MOST_ROWS:,} pieces in no regular order" if many else None


_FACETS: Mapping[str, Any] = {
    "kernel": None, "cost": None, "numbers": frozenset(), "nominal": as_it_is, "macs": none,
    "counted": None,
}  # fmt: skip
_LOWER = "lower_simple.lower_move"

ROWS = (
    IntOp("concat", named("x"), "join", CANONICAL["concat"].infer, evaluate.concat,
          {"concat": Lowering(_LOWER, onnx=("Concat",), moves=True)}, repeated=True, **_FACETS),
    IntOp("slice", named("x"), "view", CANONICAL["slice"].infer, evaluate.slice_,
          {"slice": Lowering(_LOWER, moves=True)}, **_FACETS),
    IntOp("gather", named("x"), "pick", CANONICAL["gather"].infer, evaluate.gather,
          {"gather": Lowering(_LOWER, _too_many, moves=True)}, **_FACETS),
    IntOp("reshape", named("x"), "view", CANONICAL["reshape"].infer, evaluate.reshape,
          {"reshape": Lowering(_LOWER, moves=True)}, **_FACETS),
)  # fmt: skip
