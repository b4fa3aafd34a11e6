"""Rows are selected before they are computed: slice and gather move up through row-wise ops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Edit

_ROWWISE = ("linear", "layernorm", "unary", "softmax", "add", "mul")


def is_row_selection(op: Op) -> bool:
    return op.kind == "gather" or (op.kind == "slice" and op.attrs["axis"] == 0)


def selected_rows(op: Op, rows: int) -> NDArray[np.int64]:
    if op.kind == "gather":
        return np.asarray(op.attrs["indices"], np.int64)
    return np.arange(rows)[op.attrs["start"] : op.attrs["stop"]]


def push_row_selection(graph: Graph) -> Graph:
    """select(f(x)) -> f(select(x)), f row-wise; select(concat(..., p, ...)) -> select(p);
    select(attention(q, k, v)) -> attention(select(q), k, v).

    Only where every reader of f's result selects the same rows, or f is a LayerNorm (cheap to do
    twice). In a class-token model the last block then runs its queries and its MLP for one row.
    """
    while True:
        changed = _push_once(_merge_equal(graph))
        if changed is None:
            return _merge_equal(graph)
        graph = changed


def _key(op: Op) -> tuple[Any, ...]:
    return (op.inputs[0], op.kind, *sorted((k, str(v)) for k, v in op.attrs.items()))


def _merge_equal(graph: Graph) -> Graph:
    """One operation for equal selections of one value, and for equal LayerNorms of those rows."""
    edit = Edit(graph)
    seen: dict[tuple[Any, ...], str] = {}
    for op in graph.ops:
        if not is_row_selection(op) and op.kind != "layernorm":
            edit.keep(op)
            continue
        inputs = tuple(None if n is None else edit.resolve(n) for n in op.inputs)
        key = (inputs, _key(op.replace(inputs=inputs)))
        if key in seen and op.outputs[0] not in graph.outputs:
            edit.rename(op.outputs[0], seen[key])
        else:
            seen[key] = edit.resolve(op.outputs[0])
            edit.keep(op)
    return edit.done()


def _push_once(graph: Graph) -> Graph | None:
    edit = Edit(graph)
    for op in graph.ops:
        source = edit.producers.get(str(op.inputs[0])) if is_row_selection(op) else None
        if source is not None and _may_push(edit, op, source):
            return _pushed(graph, op, source)
    return None


def _may_push(edit: Edit, op: Op, source: Op) -> bool:
    value = source.outputs[0]
    if value in edit.graph.outputs:
        return False
    if source.kind == "concat":
        # Rows of a constant part stay a view of the whole: queries are activations everywhere.
        found = _concat_part(edit.graph, op, source)
        return found is not None and edit.graph.const(found[0]) is None
    alone = all(is_row_selection(r) and _key(r) == _key(op) for r in edit.consumers[value])
    if source.kind == "attention":
        bias = source.inputs[3] if len(source.inputs) > 3 else None
        return alone and (bias is None or edit.graph.const(bias) is not None)
    return source.kind in _ROWWISE and (alone or source.kind == "layernorm")


def _concat_part(graph: Graph, op: Op, source: Op) -> tuple[str, int] | None:
    """(part, first row of it) of a concat that a slice of rows lies in entirely."""
    first = 0
    for name in source.inputs if op.kind == "slice" else ():
        rows = graph.type(str(name)).shape[0]
        if first <= op.attrs["start"] and op.attrs["stop"] <= first + rows:
            return str(name), first
        first += rows
    return None


def _pushed(graph: Graph, op: Op, source: Op) -> Graph:
    edit = Edit(graph)
    for other in graph.ops:
        if other is not op:
            edit.keep(other)
        elif source.kind == "concat":
            _select_part(edit, op, source)
        else:
            # A LayerNorm may stay for its other readers: two operations, two names.
            name = f"{source.name}.rows" if source.kind == "layernorm" else source.name
            inputs = _selected_inputs(edit, op, source)
            edit.emit(source.replace(name=name), inputs, outputs=op.outputs)
    return edit.done()


def _select_part(edit: Edit, op: Op, source: Op) -> None:
    found = _concat_part(edit.graph, op, source)
    assert found is not None
    part, first = found
    start, stop = op.attrs["start"] - first, op.attrs["stop"] - first
    if stop - start == edit.graph.type(part).shape[0]:
        edit.rename(op.outputs[0], part)
    else:
        edit.emit(op, [part], attrs={**op.attrs, "start": start, "stop": stop})


def _selected_inputs(edit: Edit, op: Op, source: Op) -> list[str | None]:
    """Inputs of `source` with the rows of `op`; parameters and keys and values stay whole."""
    graph = edit.graph
    rows = graph.type(source.outputs[0]).shape[0]
    picked = selected_rows(op, rows)
    row_inputs = 2 if source.kind in ("add", "mul") else 1
    inputs: list[str | None] = []
    for i, name in enumerate(source.inputs):
        data = graph.const(name)
        if source.kind == "attention" and i == 3:
            assert data is not None
            inputs.append(edit.const(f"{name}.rows", np.ascontiguousarray(data[:, picked])))
        elif name is None or i >= row_inputs:
            inputs.append(name)
        elif data is None:
            shape = (len(picked), graph.type(name).shape[-1])
            inputs.append(edit.emit_new(op, [name], shape, name=f"{name}.rows"))
        elif data.ndim == 2 and data.shape[0] == rows and rows > 1:
            inputs.append(edit.const(f"{name}.rows", data[picked]))
        else:
            inputs.append(name)
    return inputs
