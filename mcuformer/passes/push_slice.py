"""rows(f(x)) -> f(rows(x)) for token-wise f, and for the queries of attention. Exact.

Rows that no output needs are not computed: a class token taken after the last block moves up to
its queries and its residual stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, operand

WORTH_IT = 0.75  # push only where at most this share of the rows stays
_TOKEN_WISE = ("linear", "layernorm", "unary", "add", "mul", "softmax", "slice", "attention")


def push_slice(graph: Graph) -> Graph:
    changed = graph.has("slice", "gather")
    while changed:
        graph, changed = _one_step(graph)
    return graph


def _one_step(graph: Graph) -> tuple[Graph, bool]:
    readers = graph.consumers()
    for op in reversed(graph.ops):
        out = op.outputs[0]
        cuts = readers[out]
        if out in graph.outputs or not cuts or not all(_selects_rows(c) for c in cuts):
            continue
        rows = sorted({r for c in cuts for r in _selected(c)})
        total = graph.type(out).shape[0]
        if len(rows) > WORTH_IT * total or not _movable(graph, op, rows):
            continue
        return _push(graph, op, cuts, rows), True
    return graph, False


def _selects_rows(op: Op) -> bool:
    return op.kind == "gather" or (op.kind == "slice" and op.attrs["axis"] == 0)


def _selected(op: Op) -> list[int]:
    if op.kind == "gather":
        return list(op.attrs["indices"])
    return list(range(op.attrs["start"], op.attrs["stop"]))


def _movable(graph: Graph, op: Op, rows: list[int]) -> bool:
    if op.kind == "concat":
        return op.attrs["axis"] == 0 and _operand_with(graph, op, rows) is not None
    if op.kind == "attention":
        return op.attrs.get("windows", 1) == 1
    if op.kind == "slice":
        return bool(op.attrs["axis"] == 1)
    return op.kind in _TOKEN_WISE


def _operand_with(graph: Graph, op: Op, rows: list[int]) -> tuple[str, int] | None:
    """The concat operand that holds all of `rows`, and its first row."""
    start = 0
    for name in op.inputs:
        assert name is not None
        stop = start + graph.type(name).shape[0]
        if start <= rows[0] and rows[-1] < stop and graph.const(name) is None:
            return name, start
        start = stop
    return None


def _push(graph: Graph, op: Op, cuts: Sequence[Op], rows: list[int]) -> Graph:
    edit = Edit(graph)
    dropped = {c.outputs[0] for c in cuts}
    out = op.outputs[0]
    alone = len(cuts) == 1 and _selected(cuts[0]) == rows
    if alone:
        small = cuts[0].outputs[0]
        edit.share(out, small)
    else:
        small = edit.activation(f"{out}.rows", (len(rows), graph.type(out).shape[1]), out)
    for old in graph.ops:
        if old is op:
            edit.ops.extend(_on_rows(edit, op, rows, small))
            if not alone:
                edit.ops.extend(_again(c, small, rows) for c in cuts)
        elif old.outputs[0] not in dropped:
            edit.ops.append(old)
    return edit.done()


def _again(cut: Op, small: str, rows: list[int]) -> Op:
    """The old selection, from the value that holds `rows` only."""
    place = {row: i for i, row in enumerate(rows)}
    return _selection(
        cut.name, small, [place[r] for r in _selected(cut)], cut.outputs[0], cut.origin
    )


def _selection(name: str, x: str, rows: list[int], out: str, origin: tuple[str, ...]) -> Op:
    if rows == list(range(rows[0], rows[0] + len(rows))):
        attrs = {"axis": 0, "start": rows[0], "stop": rows[0] + len(rows)}
        return Op("slice", name, (x,), (out,), attrs, origin)
    return Op("gather", name, (x,), (out,), {"indices": tuple(rows)}, origin)


def _on_rows(edit: Edit, op: Op, rows: list[int], out: str) -> list[Op]:
    """`op` computing `rows` only, after the selections that feed it."""
    if op.kind == "concat":
        found = _operand_with(edit.graph, op, rows)
        assert found is not None
        name, start = found
        return [_selection(op.name, name, [r - start for r in rows], out, op.origin)]
    made: list[Op] = []
    inputs = list(op.inputs)
    first = {"add": (0, 1), "mul": (0, 1)}.get(op.kind, (0,))
    for i in first:
        inputs[i] = _rows_of(edit, made, op, str(inputs[i]), rows)
    bias = edit.data(operand(op, 3)) if op.kind == "attention" else None
    if bias is not None:
        shape = (bias.shape[0], len(rows), bias.shape[2])
        inputs[3] = edit.const(f"{op.name}.bias", shape, lambda: bias[:, rows])
    made.append(op.replace(inputs=tuple(inputs), outputs=(out,)))
    return made


def _rows_of(edit: Edit, made: list[Op], op: Op, x: str, rows: list[int]) -> str:
    data = edit.data(x)
    if data is not None:  # a constant: [C] has no rows
        if data.ndim == 1 or len(data) == 1:
            return x
        return edit.const(f"{x}.rows", (len(rows), data.shape[1]), lambda: data[rows])
    if edit.values[x].type.shape[0] == 1:  # repeated for all rows
        return x
    out = edit.activation(f"{x}.rows", (len(rows), edit.values[x].type.shape[1]), x)
    source = edit.graph.producers().get(x)  # a value may have taken a later operator's name
    stem = x if source is None else source.name
    made.append(_selection(f"{stem}.rows", x, rows, out, op.origin))
    return out
