"""linear(x * s + c) -> linear'(x) for constants s, c per channel that only linear layers read."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, operand


def absorb_affine(graph: Graph) -> Graph:
    edit = Edit(graph)
    readers = graph.consumers()
    absorbed: dict[str, Op] = {}  # value -> the add or mul that goes into its readers
    for op in graph.ops:
        if op.kind == "linear" and op.inputs[0] in absorbed:
            op = _absorb(edit, op, absorbed)
        if _only_linears_read(graph, readers, op):
            absorbed[op.outputs[0]] = op
        edit.ops.append(op)
    return edit.done()


def _only_linears_read(graph: Graph, readers: dict[str, list[Op]], op: Op) -> bool:
    if op.kind not in ("add", "mul") or op.outputs[0] in graph.outputs:
        return False
    consts = [graph.const(i) for i in op.inputs]
    if not any(c is not None and c.ndim == 1 for c in consts):
        return False
    users = readers[op.outputs[0]]
    chain = ("linear",)
    return bool(users) and all(
        u.kind in chain or _only_linears_read(graph, readers, u) for u in users
    )


def _absorb(edit: Edit, op: Op, absorbed: dict[str, Op]) -> Op:
    x = op.inputs[0]
    w, b = edit.data(operand(op, 1)), edit.data(operand(op, 2))
    assert w is not None
    wide = w.astype(np.float64)
    bias = np.zeros(w.shape[1]) if b is None else b.astype(np.float64)
    origin = list(op.origin)
    while x in absorbed:
        before = absorbed[x]
        first = edit.data(before.inputs[0])
        const = edit.data(before.inputs[1]) if first is None else first
        assert const is not None
        if before.kind == "mul":
            wide = const.astype(np.float64)[:, None] * wide
        else:
            bias = bias + const.astype(np.float64) @ wide
        x = before.inputs[0] if first is None else before.inputs[1]
        origin = [*before.origin, *origin]
    inputs = [x, edit.const(f"{op.name}.absorbed", wide)]
    if b is not None or bias.any():
        inputs.append(edit.const(f"{op.name}.shifted", bias))
    return op.replace(inputs=tuple(inputs), origin=tuple(dict.fromkeys(origin)))
