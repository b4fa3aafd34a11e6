"""DequantizeLinear(integer weights) stays; its scales are noted before `fold_constants` makes floats of it.

meta["qdq_weights"]: {result: (scales, axis or None)}, symmetric weights only; present, if empty, in
every QDQ model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.ir.graph import Graph, Op


def note_weight_scales(graph: Graph) -> Graph:
    made = graph.producers()
    weights: dict[str, tuple[Any, int | None]] = {}
    found = False
    for op in graph.ops:
        if "error" in op.attrs:
            continue
        if op.kind == "Transpose" and op.inputs[0] in weights:
            scale, axis = weights[op.inputs[0]]
            perm = list(op.attrs.get("perm") or (1, 0))
            if axis is None or axis in perm:
                weights[op.outputs[0]] = (scale, None if axis is None else perm.index(axis))
        if op.kind != "DequantizeLinear":
            continue
        found = True
        source = made.get(op.inputs[0] or "")
        if source is not None and source.kind == "Clip":
            source = made.get(source.inputs[0] or "")
        rounded = source is not None and source.kind == "QuantizeLinear" and source.inputs
        weight = source.inputs[0] if rounded and source is not None else op.inputs[0]
        scales = _scales(graph, op, weight)
        if scales is not None:
            weights[op.outputs[0]] = scales
    if not found:
        return graph
    return graph.replace(meta={**graph.meta, "qdq": {}, "qdq_weights": weights})


def _scales(graph: Graph, op: Op, weight: str | None) -> tuple[Any, int | None] | None:
    data, scale = graph.const(weight), graph.const(op.inputs[1])
    zero = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    symmetric = zero is None or not zero.any()
    if data is None or scale is None or data.ndim < 2 or not symmetric:
        return None
    if op.attrs.get("block_size"):
        return None
    axis = None if scale.size == 1 else int(op.attrs.get("axis", 1)) % data.ndim
    return scale.reshape(-1).astype(np.float64), axis
