"""concat(c, x) + p -> concat(c + p[:n], x + p[n:]) for constants c, p. Exact.

The class token with its position becomes one constant. Parts may be constant or not; p of shape
[C] adds to all rows. Only where nothing else reads the concat.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, uses


def split_position(graph: Graph) -> Graph:
    if not (graph.has("concat") and graph.has("add")):
        return graph
    reads, made = uses(graph), graph.producers()
    joins: dict[str, Op] = {}  # the add's result -> the concat before it
    for op in graph.ops:
        if op.kind == "add":
            before = made.get(op.inputs[0] or "")
            table = graph.const(op.inputs[1])
            if before is not None and table is not None and _fits(graph, before, reads):
                joins[op.outputs[0]] = before
    if not joins:
        return graph
    edit = Edit(graph)
    dropped = {join.outputs[0] for join in joins.values()}
    for op in graph.ops:
        if op.outputs[0] in joins:
            edit.ops.extend(_parts(edit, joins[op.outputs[0]], op))
        elif op.outputs[0] not in dropped:
            edit.ops.append(op)
    return edit.done()


def _fits(graph: Graph, join: Op, reads: dict[str, int]) -> bool:
    some_constant = any(graph.const(i) is not None for i in join.inputs)
    return (
        join.kind == "concat"
        and join.attrs["axis"] == 0
        and reads[join.outputs[0]] == 1
        and some_constant
    )


def _parts(edit: Edit, join: Op, add: Op) -> list[Op]:
    table = edit.data(add.inputs[1])
    assert table is not None
    total = edit.values[join.outputs[0]].type.shape
    rows = np.broadcast_to(table, total)
    width = total[1]
    made: list[Op] = []
    inputs: list[str] = []
    start = 0
    for name in join.inputs:
        part = str(name)
        count = edit.values[part].type.shape[0]
        own = table if table.ndim == 1 else rows[start : start + count]
        data = edit.data(part)
        start += count
        if data is not None:
            moved = partial(np.add, data, rows[start - count : start])
            inputs.append(edit.const(part, (count, width), moved))
            continue
        out = edit.activation(f"{add.outputs[0]}.part", (count, width), add.outputs[0])
        operands = (part, edit.const(f"{add.name}.const", own.shape, partial(np.asarray, own)))
        made.append(Op("add", add.name, operands, (out,), {}, add.origin))
        inputs.append(out)
    made.append(join.replace(inputs=tuple(inputs), outputs=add.outputs))
    return made
