"""rows(f(x)) -> f(rows(x)) for token-wise f, and for the queries of attention. Exact.

Rows that no output needs are not computed: a class token taken after the last block moves up to
its queries and its residual stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mcuformer.ir.graph import Graph, Op, distinct, same_ops
from mcuformer.passes.edit import Edit, is_row_selection

WORTH_IT = 0.75  # push only where at most this share of the rows stays
_TOKEN_WISE = ("linear", "layernorm", "unary", "add", "mul", "max", "softmax", "slice", "attention")


def push_slice(graph: Graph) -> Graph:
    """From the last operation to the first: a push asks earlier ones for rows, and no later one."""
    if not graph.has("slice", "gather"):
        return graph
    work = _Work(graph)
    place = len(work.ops) - 1
    while place >= 0:
        op = work.ops[place]
        rows = work.asked(op)
        if rows is None or not _movable(work.edit, op, rows):
            place -= 1
        elif op.kind == "concat":  # its other parts may be dead then, and read nothing any more
            work.push(place, rows)
            work = _Work(work.edit.done(work.ops))
            place = len(work.ops) - 1
        else:
            place = work.push(place, rows)
    return work.edit.done(work.ops)


class _Work:
    """A graph between two pushes: its operations in order, and who makes and who reads a value."""

    def __init__(self, graph: Graph) -> None:
        self.edit = Edit(graph)
        self._take(graph.ops)

    def _take(self, ops: Sequence[Op]) -> None:
        self.ops = list(ops)
        self.made: dict[str, Op] = {}
        self.readers: defaultdict[str | None, list[Op]] = defaultdict(list)
        self._enter(ops)

    def _enter(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self.made[op.outputs[0]] = op
            for name in set(op.inputs):
                self.readers[name].append(op)

    def asked(self, op: Op) -> list[int] | None:
        """Rows that are selected from op's result; None where it is read otherwise, or most of it is."""
        out = op.outputs[0]
        cuts = self.readers[out]
        if not cuts or out in self.edit.graph.outputs or not all(map(is_row_selection, cuts)):
            return None
        rows = sorted({r for c in cuts for r in _selected(c)})
        return rows if len(rows) <= WORTH_IT * self.edit.values[out].type.shape[0] else None

    def push(self, place: int, rows: list[int]) -> int:
        """Only `rows` from the operation at `place`; where the one that makes them stands then."""
        op, edit = self.ops[place], self.edit
        out = op.outputs[0]
        cuts = sorted(self.readers.pop(out), key=self.ops.index)
        alone = len(cuts) == 1 and _selected(cuts[0]) == rows
        if alone:
            small = cuts[0].outputs[0]
            edit.share(out, small)
        else:
            shape = (len(rows), edit.values[out].type.shape[1])
            small = edit.activation(f"{out}.rows", shape, out)
        new = _on_rows(edit, self.made, op, rows, small)
        for name in set(op.inputs):
            self.readers[name].remove(op)
        at = place + len(new) - 1
        new += () if alone else [_again(c, small, rows) for c in cuts]
        self._enter(new)
        behind = [o for o in self.ops[place + 1 :] if o not in cuts]
        self.ops[place:] = [*new, *behind]
        named = distinct(self.ops)
        if not same_ops(named, self.ops):
            self._take(named)
        return at


def _selected(op: Op) -> list[int]:
    if op.kind == "gather":
        return list(op.attrs["indices"])
    return list(range(op.attrs["start"], op.attrs["stop"]))


def _movable(edit: Edit, op: Op, rows: list[int]) -> bool:
    if op.kind == "concat":
        return op.attrs["axis"] == 0 and _operand_with(edit, op, rows) is not None
    if op.kind == "attention":
        return op.attrs.get("windows", 1) == 1
    if op.kind == "slice":
        return bool(op.attrs["axis"] == 1)
    return op.kind in _TOKEN_WISE


def _operand_with(edit: Edit, op: Op, rows: list[int]) -> tuple[str, int] | None:
    """The concat operand that holds all of `rows`, and its first row."""
    start = 0
    for name in op.inputs:
        assert name is not None
        stop = start + edit.values[name].type.shape[0]
        if start <= rows[0] and rows[-1] < stop and edit.data(name) is None:
            return name, start
        start = stop
    return None


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


def _on_rows(edit: Edit, made: Mapping[str, Op], op: Op, rows: list[int], out: str) -> list[Op]:
    """`op` computing `rows` only, after the selections that feed it."""
    if op.kind == "concat":
        found = _operand_with(edit, op, rows)
        assert found is not None
        name, start = found
        return [_selection(op.name, name, [r - start for r in rows], out, op.origin)]
    new: list[Op] = []
    inputs = list(op.inputs)
    first = (0, 1) if op.kind in ("add", "mul", "max") else (0,)
    for i in first:
        inputs[i] = _rows_of(edit, made, new, op, str(inputs[i]), rows)
    bias = edit.data(op.operand(3)) if op.kind == "attention" else None
    if bias is not None:
        shape = (bias.shape[0], len(rows), bias.shape[2])
        inputs[3] = edit.const(f"{op.name}.bias", shape, lambda: bias[:, rows])
    new.append(op.replace(inputs=tuple(inputs), outputs=(out,)))
    return new


def _rows_of(
    edit: Edit, made: Mapping[str, Op], new: list[Op], op: Op, x: str, rows: list[int]
) -> str:
    data = edit.data(x)
    if data is not None:  # a constant: [C] has no rows
        if data.ndim == 1 or len(data) == 1:
            return x
        return edit.const(f"{x}.rows", (len(rows), data.shape[1]), lambda: data[rows])
    if edit.values[x].type.shape[0] == 1:  # repeated for all rows
        return x
    out = edit.activation(f"{x}.rows", (len(rows), edit.values[x].type.shape[1]), x)
    source = made.get(x)  # a value may have taken a later operator's name
    stem = x if source is None else source.name
    new.append(_selection(f"{stem}.rows", x, rows, out, op.origin))
    return out
