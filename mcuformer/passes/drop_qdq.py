"""DequantizeLinear(QuantizeLinear(x)) -> x; scales and zero points are noted.

Runs before constants are folded. meta["qdq"]: {value: (scale, zero_point, dtype)} of activations;
meta["qdq_weights"]: {value: (scales, axis or None)} of symmetric weights (QDQ models as
onnxruntime.quantization.quantize_static writes them). The conversion turns both to canonical names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.ir.graph import Graph, Op


def drop_qdq(graph: Graph) -> Graph:
    made = graph.producers()
    activations: dict[str, tuple[float, int, str]] = {}
    weights: dict[str, tuple[Any, int | None]] = {}
    same: dict[str, str] = {}
    kept: list[Op] = []
    for op in graph.ops:
        op = op.replace(inputs=tuple(same.get(i or "", i) for i in op.inputs))
        kept.append(op)
        if op.kind != "DequantizeLinear" or "error" in op.attrs or op.inputs[0] is None:
            continue
        if graph.const(op.inputs[0]) is not None:
            _note_weights(graph, op, weights)
            continue
        source = made.get(op.inputs[0])
        params = _per_tensor(graph, op)
        if source is None or source.kind != "QuantizeLinear" or params is None:
            continue
        if "error" in source.attrs:
            continue
        x = same.get(source.inputs[0] or "", source.inputs[0])
        if x is None or graph.const(x) is not None:
            continue
        activations.setdefault(x, params)
        same[op.outputs[0]] = x
        kept.pop()
    if not activations and not weights:
        return graph
    outputs = tuple(same.get(o, o) for o in graph.outputs)
    meta = {**graph.meta, "qdq": activations, "qdq_weights": weights}
    return graph.replace(ops=tuple(kept), outputs=outputs, meta=meta)


def _per_tensor(graph: Graph, op: Op) -> tuple[float, int, str] | None:
    """(scale, zero point, stored type) of a Q/DQ pair with one scale for the tensor."""
    scale = graph.const(op.inputs[1])
    zero = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    if scale is None or scale.size != 1:
        return None
    if zero is None:
        return float(scale.reshape(-1)[0]), 0, "uint8"
    return float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]), str(zero.dtype)


def _note_weights(graph: Graph, op: Op, weights: dict[str, tuple[Any, int | None]]) -> None:
    data, scale = graph.const(op.inputs[0]), graph.const(op.inputs[1])
    zero = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    symmetric = zero is None or not zero.any()
    if (
        data is None
        or scale is None
        or data.ndim < 2
        or not symmetric
        or op.attrs.get("block_size")
    ):
        return
    axis = None if scale.size == 1 else int(op.attrs.get("axis", 1)) % data.ndim
    weights[op.outputs[0]] = (scale.reshape(-1).astype(np.float64), axis)
