"""DequantizeLinear(QuantizeLinear(x)) -> x, or Relu(x) where the pair cuts at 0; the scale is noted.

quantize_static leaves a Relu out where the zero point is the least integer, because quantising cuts
there: behind a layer the Relu comes back, unless its result cannot be negative.
meta["qdq"]: {value: (scale, zero_point, dtype)}; the conversion turns it to canonical names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import ONNX
from mcuformer.ir.types import DTYPES

Params = tuple[float, int, str]
_NEVER_NEGATIVE = frozenset((
    "Relu", "Softmax", "Sigmoid", "HardSigmoid", "Sqrt", "Exp", "Abs", "Softplus", "ReduceL1", "ReduceL2",
    "ReduceSumSquare",
))  # fmt: skip
_NARROW = "looked for activations of 8 or 16 bits, found 4: weights may have 4"
_LAYERS = frozenset(("Conv", "Gemm", "MatMul", "Add", "Sum", "BatchNormalization"))
_MOVES = frozenset(  # cubic resizing overshoots
    row.name for row in ONNX.values() if row.use == "moved" and row.name != "Resize"
)
_KEEPS_SIGN = frozenset((
    *_MOVES, "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean",
    "ReduceSum", "Dropout", "Identity", "Cast",
))  # fmt: skip


def drop_qdq(graph: Graph) -> Graph:
    made = graph.producers()
    activations: dict[str, Params] = {}
    same: dict[str, str] = {}
    kept: list[Op] = []
    refused = False
    for op in graph.ops:
        op = op.replace(inputs=tuple(same.get(i or "", i) for i in op.inputs))
        kept.append(op)
        source = made.get(op.inputs[0] or "") if op.kind == "DequantizeLinear" else None
        if "bits" in (op if source is None else source).attrs:
            kept[-1] = op.replace(attrs={"error": _NARROW, **op.attrs})
            refused = True
            continue
        if (
            source is None
            or source.kind != "QuantizeLinear"
            or {"error"} & {*op.attrs, *source.attrs}
        ):
            continue
        params, x = grid_of(graph, op), same.get(source.inputs[0] or "", source.inputs[0])
        if params is None or x is None:
            continue
        if _cuts_at_zero(params) and _lost_relu(graph, made, x):
            kept[-1] = op.replace(kind="Relu", inputs=(x,), attrs={})
            activations[op.outputs[0]] = params
        else:
            activations.setdefault(x, params)
            same[op.outputs[0]] = x
            kept.pop()
    if not activations and not refused:
        return graph
    outputs = tuple(same.get(o, o) for o in graph.outputs)
    meta = {**graph.meta, "qdq": activations}
    return graph.replace(ops=tuple(kept), outputs=outputs, meta=meta)


def _lost_relu(graph: Graph, made: Mapping[str, Op], x: str) -> bool:
    """Whether x comes from a layer and may be negative."""
    op = made.get(x)
    if op is None or op.kind not in _LAYERS:
        return False
    if op.kind == "MatMul" and all(graph.const(i) is None for i in op.inputs):
        return False
    return not _positive(graph, made, x)


def _cuts_at_zero(params: Params) -> bool:
    return params[1] == np.iinfo(DTYPES[params[2]]).min


def _positive(graph: Graph, made: Mapping[str, Op], x: str | None, depth: int = 20) -> bool:
    """Whether x can be told to hold no negative numbers."""
    op = made.get(x or "")
    if op is None or depth == 0:
        return False
    if op.kind in _NEVER_NEGATIVE:
        return True
    if op.kind in ("DequantizeLinear", "QuantizeLinear"):
        return _positive(graph, made, op.inputs[0], depth - 1)
    if op.kind == "Mul":
        return len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]
    if op.kind in ("Pow", "Clip"):
        second = graph.const(op.inputs[1]) if len(op.inputs) > 1 else None
        if second is None or second.size != 1:
            return False
        value = float(second.reshape(-1)[0])
        return value % 2 == 0 if op.kind == "Pow" else value >= 0
    consts = [graph.const(i) for i in op.inputs]
    if op.kind in ("Concat", "Add"):
        return all(
            bool((c >= 0).all()) if c is not None else _positive(graph, made, i, depth - 1)
            for i, c in zip(op.inputs, consts, strict=True)
        )
    return op.kind in _KEEPS_SIGN and _positive(graph, made, op.inputs[0], depth - 1)


def grid_of(graph: Graph, op: Op) -> Params | None:
    """(scale, zero point, stored type) of a Q/DQ pair with one scale for the tensor."""
    scale = graph.const(op.inputs[1])
    zero = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    if scale is None or scale.size != 1:
        return None
    if zero is None:
        return float(scale.reshape(-1)[0]), 0, "uint8"
    if zero.size != 1 or zero.dtype.kind not in "iu":
        return None
    return float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]), str(zero.dtype)
