"""op(x), op(x) -> one op; moves that change nothing vanish. Exact."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit


def dedupe(graph: Graph) -> Graph:
    edit = Edit(graph)
    renamed: dict[str, str] = {}
    first: dict[object, list[Op]] = {}
    made: dict[str, Op] = {}
    for op in graph.ops:
        if renamed:
            op = op.replace(inputs=tuple(renamed.get(i or "", i) for i in op.inputs))
        if op.kind in ("reshape", "slice"):
            op = _simplified(edit, made, op)
        alike = first.setdefault((op.kind, op.inputs), [])
        same = op.inputs[0] if _changes_nothing(edit, op) else _twin(alike, op)
        if same is not None and op.outputs[0] not in graph.outputs:
            renamed[op.outputs[0]] = same
            continue
        alike.append(op)
        made[op.outputs[0]] = op
        edit.ops.append(op)
    return edit.done()


def _twin(alike: Sequence[Op], op: Op) -> str | None:
    """The result of the first of them that has op's attributes."""
    for other in alike:
        if other.attrs == op.attrs:
            return other.outputs[0]
    return None


def _changes_nothing(edit: Edit, op: Op) -> bool:
    if op.kind not in ("reshape", "slice"):
        return False
    return edit.values[str(op.inputs[0])].type.shape == edit.values[op.outputs[0]].type.shape


def _simplified(edit: Edit, made: dict[str, Op], op: Op) -> Op:
    """reshape(reshape(x)) -> reshape(x); slice(slice(x)) on one axis -> slice(x)."""
    before = made.get(op.inputs[0] or "")
    if before is None or before.kind != op.kind:
        return op
    if op.kind == "reshape":
        return op.replace(inputs=before.inputs)
    if op.attrs["axis"] == before.attrs["axis"]:
        start = before.attrs["start"]
        attrs = {**op.attrs, "start": op.attrs["start"] + start, "stop": op.attrs["stop"] + start}
        return op.replace(inputs=before.inputs, attrs=attrs)
    return op
