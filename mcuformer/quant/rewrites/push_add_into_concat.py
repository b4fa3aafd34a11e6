"""concat(token, x) + position -> concat(token + position[:n], x + position[n:])."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Edit


def push_add_into_concat(graph: Graph) -> Graph:
    """add(concat(p...), const[T,C]) -> concat(add(p, const[rows of p])...); constants add up now.

    The class token becomes one constant row and the patch embedding adds its own positions.
    """
    edit = Edit(graph)
    for op in graph.ops:
        source = edit.producers.get(str(op.inputs[0])) if op.kind == "add" else None
        table = graph.const(op.inputs[1]) if op.kind == "add" else None
        if (
            source is None or table is None or source.kind != "concat"
            or edit.only_reader(source.outputs[0]) is None
        ):
            edit.keep(op)
            continue
        shape = graph.type(op.outputs[0]).shape
        table = np.broadcast_to(table.reshape((-1, shape[-1])), shape)
        edit.emit(op, _parts(edit, op, source, table), kind="concat", attrs=source.attrs,
                  name=source.name, origin=source.origin)
    return edit.done()


def _parts(edit: Edit, op: Op, concat: Op, table: np.ndarray) -> list[str | None]:
    parts: list[str | None] = []
    row = 0
    for name in concat.inputs:
        shape = edit.graph.type(str(name)).shape
        rows = np.ascontiguousarray(table[row : row + shape[0]], np.float32)
        row += shape[0]
        data = edit.graph.const(name)
        if data is not None:
            parts.append(edit.const(f"{name}.placed", data + rows))
            continue
        position = edit.const(f"{op.name}.rows", rows)
        parts.append(edit.emit_new(op, [name, position], shape))
    return parts
