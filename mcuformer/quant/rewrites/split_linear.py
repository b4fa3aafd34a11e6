"""slice(linear(x), channels) -> linear(x) with those channels."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Edit

_OPERANDS = "qkv"


def split_linear(graph: Graph) -> Graph:
    """slice(linear(x, w, b), axis=1, a:b) -> linear(x, w[:, a:b], b[a:b]); only slices read it.

    q, k and v get scales, and places in the schedule, of their own.
    """
    edit = Edit(graph)
    split = {op.outputs[0] for op in graph.ops if op.kind == "linear" and _only_slices(edit, op)}
    for op in graph.ops:
        if op.outputs[0] in split:
            continue
        source = edit.producers.get(str(op.inputs[0])) if op.kind == "slice" else None
        if source is None or source.outputs[0] not in split:
            edit.keep(op)
            continue
        name = f"{source.name}.{_suffix(edit, op)}"
        columns = slice(op.attrs["start"], op.attrs["stop"])
        inputs = [source.inputs[0]]
        for n in source.inputs[1:]:
            data = graph.const(n)
            part = None if data is None else np.ascontiguousarray(data[..., columns])
            inputs.append(None if part is None else edit.const(f"{n}.{_suffix(edit, op)}", part))
        edit.emit(source, inputs, name=name, outputs=op.outputs, origin=source.origin)
    return edit.done()


def _only_slices(edit: Edit, op: Op) -> bool:
    readers = edit.consumers[op.outputs[0]]
    return bool(readers) and op.outputs[0] not in edit.graph.outputs and all(
        r.kind == "slice" and r.attrs["axis"] == 1 for r in readers
    )


def _suffix(edit: Edit, op: Op) -> str:
    """q, k or v where the slice (or its own norm) feeds one attention, else the channel range."""
    value: str = op.outputs[0]
    for _ in range(2):
        readers = edit.consumers[value]
        if len(readers) != 1:
            break
        if readers[0].kind == "attention" and value in readers[0].inputs[:3]:
            return _OPERANDS[readers[0].inputs.index(value)]
        value = readers[0].outputs[0]
    return f"{op.attrs['start']}-{op.attrs['stop']}"
