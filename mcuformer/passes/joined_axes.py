"""Softmax of opset 12 and older, f over all axes from k on -> f over the last axis, between Reshapes.

Without the Reshapes where k is the last axis, or all behind it have one element.
"""

from __future__ import annotations

import math

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.onnx_ops.base import wrapped
from mcuformer.ir.types import TensorType, Value


def joined_axes(graph: Graph) -> Graph:
    if not any("joined" in op.attrs for op in graph.ops):
        return graph
    values = dict(graph.values)
    ops: list[Op] = []
    for op in graph.ops:
        ops += _apart(values, op) if "joined" in op.attrs else [op]
    return graph.replace(ops=tuple(ops), values=values)


def _apart(values: dict[str, Value], op: Op) -> list[Op]:
    x, y = str(op.inputs[0]), op.outputs[0]
    shape, attrs = values[x].type.shape, {k: v for k, v in op.attrs.items() if k != "joined"}
    if -1 in shape or "error" in op.attrs:
        return [op.replace(attrs=attrs)]
    axis = wrapped(attrs["axis"], len(shape)) if shape else 0
    if math.prod(shape[axis:]) == math.prod(shape[axis : axis + 1]):
        return [op.replace(attrs={**attrs, "axis": axis})]
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    rows, out = f"{y}/rows", f"{y}/joined"
    for name in (rows, out):
        values[name] = Value(name, TensorType(flat, values[x].type.dtype))
    return [
        _reshape(values, op, x, rows, flat),
        op.replace(inputs=(rows,), outputs=(out,), attrs={**attrs, "axis": -1}),
        _reshape(values, op, out, y, shape),
    ]


def _reshape(values: dict[str, Value], op: Op, x: str, y: str, shape: tuple[int, ...]) -> Op:
    data = np.asarray(shape, np.int64)
    values[f"{y}/shape"] = Value(f"{y}/shape", TensorType(data.shape, "int64"), data)
    return Op("Reshape", op.name, (x, f"{y}/shape"), (y,), {}, op.origin)
