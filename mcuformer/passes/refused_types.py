"""Types of what a node makes that we do not compile: as its row, the ONNX standard or the file has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.onnx_shapes import infer
from mcuformer.ir.types import DTYPES, TensorType, Value

UNKNOWN = TensorType((-1,), "float32")
_MOST = 2**24  # elements: more is no activation of ours
_MOST_READ = 2**12  # elements of a constant that may be sizes or axes


def refused_types(graph: Graph, op: Op, values: Mapping[str, Value]) -> list[TensorType]:
    """One per result; UNKNOWN where nobody says."""
    declared: Mapping[str, TensorType] = graph.meta.get("declared", {})
    found = _by_rule(op, values) or _by_standard(graph, op, values)
    return [
        t if _sane(t := found.get(name, UNKNOWN)) else declared.get(name, UNKNOWN)
        for name in op.outputs
    ]


def _sane(type_: TensorType) -> bool:
    shape = type_.shape
    return type_.dtype in DTYPES and all(d > 0 for d in shape) and math.prod(shape) <= _MOST


def _by_rule(op: Op, values: Mapping[str, Value]) -> dict[str, TensorType]:
    """Of an operator that has a row, but is refused for its attributes or weights."""
    types = [None if i is None else values[i].type for i in op.inputs]
    if any(t is not None and -1 in t.shape for t in types):
        return {}
    try:
        found = infer(op, types, [None if i is None else values[i].data for i in op.inputs])
    except Exception:  # noqa: BLE001, a malformed node: anything may fail, and that it is refused is known
        return {}
    return dict(zip(op.outputs, found, strict=False))


def _by_standard(graph: Graph, op: Op, values: Mapping[str, Value]) -> dict[str, TensorType]:
    """By onnx's own inference for this one node, of which it gets the types that we know."""
    opset = int(graph.meta.get("opset", 0))
    opset = max(13, opset) if opset else 0  # older nodes were rewritten (frontend/older.py)
    inputs = [i for i in op.inputs if i is not None]
    if not onnx.defs.has(op.kind, opset) or any(-1 in values[i].type.shape for i in inputs):
        return {}
    try:
        found = shape_inference.infer_node_outputs(
            onnx.defs.get_schema(op.kind, opset),
            helper.make_node(op.kind, [i or "" for i in op.inputs], op.outputs, **_attrs(op)),
            {i: _proto(values[i].type) for i in inputs},
            {i: numpy_helper.from_array(d, i) for i in inputs if (d := values[i].data) is not None
             and d.size <= _MOST_READ},
            opset_imports=[helper.make_opsetid("", opset)],
        )  # fmt: skip
        return {name: _typed(proto) for name, proto in found.items()}
    except Exception:  # noqa: BLE001, onnx refuses it as well, or wants an attribute that we do not keep
        return {}


def _attrs(op: Op) -> dict[str, Any]:
    kept = {k: v for k, v in op.attrs.items() if k not in {"error", "joined"} and v is not None}
    return {
        k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in kept.items()
    }


def _proto(type_: TensorType) -> onnx.TypeProto:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(type_.dtype))
    return helper.make_tensor_type_proto(code, type_.shape)


def _typed(proto: onnx.TypeProto) -> TensorType:
    dims = proto.tensor_type.shape.dim
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)
    known = proto.HasField("tensor_type") and proto.tensor_type.HasField("shape")
    dtype = str(helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type)) if known else ""
    return TensorType(shape if known else (-1,), "float32" if dtype == "float16" else dtype)
