"""What must hold of a graph at every stage border; a violation names op, origin and reason."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import FLOAT_OPS, FloatOp, ShapeError
from mcuformer.operators.row import IntOp
from mcuformer.operators.table import INT_OPS

_REQUIRED: Mapping[str, tuple[tuple[int, str], ...]] = {
    kind: tuple((i, operand.name) for i, operand in enumerate(row.operands) if not operand.optional)
    for kind, row in INT_OPS.items()
}


class VerifyError(McuformerError):
    """A bug of the compiler: a pass left a graph that breaks the rules."""


def verify(graph: Graph) -> Graph:
    """The graph; VerifyError unless names resolve, order holds and canonical shapes agree."""
    defined = set(graph.inputs) | {n for n, v in graph.values.items() if v.is_const}
    for name, value in graph.values.items():
        if value.name != name:
            raise VerifyError(f"value {value.name} is filed as {name}")
        if value.data is not None and tuple(value.data.shape) != value.type.shape:
            raise VerifyError(f"constant {name}: data {value.data.shape}, type {value.type}")
    named: set[str] = set()
    for op in graph.ops:
        _inputs_defined(op, defined)
        for out in op.outputs:
            if out in defined:
                _fail(op, f"writes {out} a second time")
            if out not in graph.values:
                _fail(op, f"its result {out} has no value")
            defined.add(out)
        if op.name in named:
            _fail(op, "another operation has this name")
        named.add(op.name)
        if graph.stage in ("float", "int"):
            _by_its_row(graph, op)
    for name in (*graph.inputs, *graph.outputs):
        if name not in defined:
            raise VerifyError(f"graph output {name} is produced by nothing")
    return graph


def _inputs_defined(op: Op, defined: set[str]) -> None:
    for name in op.inputs:
        if name is not None and name not in defined:
            _fail(op, f"reads {name} before anything wrote it")


def _by_its_row(graph: Graph, op: Op) -> None:
    """Operands, attributes and shapes as the operator's table says."""
    if graph.stage == "int":
        _operands(op)
    spec: FloatOp | IntOp | None = (FLOAT_OPS if graph.stage == "float" else INT_OPS).get(op.kind)
    if spec is None:
        _fail(op, f"{op.kind} is no operator of stage {graph.stage}")
        return
    for attr in spec.attrs if isinstance(spec, FloatOp) else ():
        if attr not in op.attrs:
            _fail(op, f"attribute {attr} is missing")
    shapes = [None if i is None else graph.type(i).shape for i in op.inputs]
    try:
        shape = (spec.infer if isinstance(spec, FloatOp) else spec.shape)(op.attrs, shapes)
    except ShapeError as error:
        _fail(op, str(error))
        return
    if graph.type(op.outputs[0]).shape != shape:
        _fail(op, f"result is {graph.type(op.outputs[0]).shape}, the rule says {shape}")


def _operands(op: Op) -> None:
    row = INT_OPS.get(op.kind)
    if row is None or row.repeated:
        return
    if len(op.inputs) > len(row.operands):
        _fail(op, f"{len(op.inputs)} operands, want {len(row.operands)}")
    for i, name in _REQUIRED[op.kind]:
        if i >= len(op.inputs) or op.inputs[i] is None:
            _fail(op, f"operand {name} is missing")


def _fail(op: Op, reason: str) -> None:
    raise VerifyError(f"{op.kind} {op.name} (from {', '.join(op.origin) or 'no node'}): {reason}")
