"""What a schedule may depend on: shapes, types and structure of an int graph, none of its numbers.

Weights, scales and fraction bits change with training and calibration; if choices depended on them,
the search could not know what compile will choose. So choices are made on the outline, where an
attribute that only numbers decide has its usual value. What a kernel's *bytes* depend on stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators.table import INT_OPS

STAGE = "outline"


def times(graph: Graph, op: Op) -> int:
    """How often `op` occurs in the network that `graph` is short for.

    meta["times"] has a count for the origin of every block that stands for several.
    """
    counts = graph.meta.get("times")
    return counts.get(op.origin[0], 1) if counts and op.origin else 1


def outline(graph: Graph) -> Graph:
    """`graph` with placeholders for constants and usual values for numbers; names stay."""
    if graph.stage == STAGE:
        return graph
    values = {n: _outlined(v) for n, v in graph.values.items()}
    ops = tuple(nominal(op, graph.type) for op in graph.ops)
    return graph.replace(stage=STAGE, ops=ops, values=values)


def _outlined(value: Value) -> Value:
    t = value.type
    if value.data is None:
        return Value(value.name, TensorType(t.shape, t.dtype))
    return constant(value.name, t.dtype, t.shape)


def nominal(op: Op, type_of: Callable[[str], TensorType]) -> Op:
    """`op` with the attributes that its outline has."""
    row = INT_OPS[op.kind]
    attrs: dict[str, Any] = {k: v for k, v in op.attrs.items() if k not in row.numbers}
    attrs |= row.nominal(op, type_of(op.outputs[0]).dtype == "int16", type_of)
    return Op(op.kind, op.name, op.inputs, op.outputs, attrs, op.origin)
