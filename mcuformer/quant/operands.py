"""The constant operand of an add or mul: the same numbers for every row, or rows of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op


def constant_operand(graph: Graph, op: Op) -> NDArray | None:
    """In the shape of the result; None of two activations."""
    data = next((d for d in (graph.const(n) for n in op.inputs) if d is not None), None)
    return None if data is None else np.broadcast_to(data, graph.type(op.outputs[0]).shape)


def channel_constant(graph: Graph, op: Op) -> NDArray[np.float64] | None:
    """(C,) where all rows (all pixels) see the same numbers, else None."""
    data = constant_operand(graph, op)
    if data is None:
        return None
    if graph.shapes_only:  # rows of their own have numbers of their own
        given = next(d for d in (graph.const(n) for n in op.inputs) if d is not None)
        return data[0] if given.ndim == 1 or len(given) == 1 else None
    rows = data.reshape(-1, data.shape[-1])
    return rows[0].astype(np.float64) if (rows == rows[:1]).all() else None
