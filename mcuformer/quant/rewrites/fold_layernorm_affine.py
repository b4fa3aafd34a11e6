"""linear(norm(x) * gamma + beta) -> linear'(norm(x))."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import is_row_selection
from mcuformer.quant.rewrites.edit import Rewrite


def fold_layernorm_affine(graph: Graph, given: Collection[str] = ()) -> Graph:
    """linear(layernorm(x, gamma, beta), w, b) -> linear(layernorm(x), gamma[:,None] w, b + beta w).

    Where every reader is a linear layer, directly or behind a selection of rows or a mean.
    """
    if not graph.has("layernorm"):
        return graph
    edit = Rewrite(graph)
    affine: dict[str, tuple[NDArray, NDArray]] = {}
    for op in graph.ops:
        if op.kind == "layernorm" and len(op.inputs) > 1 and op.outputs[0] not in given:
            readers = linear_readers(edit, op.outputs[0])
            if readers is not None:
                parameters = _affine(graph, op)
                affine.update({r.outputs[0]: parameters for r in readers})
                edit.emit(op, [op.inputs[0]])
                continue
        if op.outputs[0] in affine:
            _emit_linear(edit, op, *affine[op.outputs[0]])
        else:
            edit.keep(op)
    return edit.done()


def linear_readers(edit: Rewrite, value: str) -> list[Op] | None:
    if value in edit.graph.outputs:
        return None
    found: list[Op] = []
    for op in edit.consumers[value]:
        if op.kind == "linear":
            found.append(op)
        elif is_row_selection(op) or op.kind == "mean":
            behind = linear_readers(edit, op.outputs[0])
            if behind is None:
                return None
            found += behind
        else:
            return None
    return found


def _affine(graph: Graph, op: Op) -> tuple[NDArray, NDArray]:
    c = graph.type(op.outputs[0]).shape[-1]
    gamma, beta = (graph.const(n) for n in [*op.inputs[1:], None, None][:2])
    return np.ones(c) if gamma is None else gamma, np.zeros(c) if beta is None else beta


def _emit_linear(edit: Rewrite, op: Op, gamma: NDArray, beta: NDArray) -> None:
    w = edit.graph.const(op.inputs[1])
    b = edit.graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    assert w is not None

    def weight() -> NDArray:
        return gamma.astype(np.float64)[:, None] * w

    def bias() -> NDArray:
        return beta.astype(np.float64) @ w + (0.0 if b is None else b)

    inputs = [
        op.inputs[0],
        edit.const(f"{op.name}.weight", w.shape, weight),
        edit.const(f"{op.name}.bias", w.shape[1:], bias),
    ]
    edit.emit(op, inputs)
