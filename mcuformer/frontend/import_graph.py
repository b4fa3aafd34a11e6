"""ModelProto -> raw Graph at stage "onnx": nodes in order, weights as constants.

Types of intermediate values are placeholders until `passes/fold_constants.py` has run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import names
from mcuformer.frontend.branches import MOST_NESTED, Branch
from mcuformer.frontend.names import shown
from mcuformer.frontend.narrow import with_narrow_types
from mcuformer.frontend.older import modern
from mcuformer.frontend.proto import DOMAINS, NAMESAKES, opset_of, weight_tensors
from mcuformer.frontend.tensors import dtype_of, read_tensor
from mcuformer.ir.finite import MEND
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value

# They read bounds, or hand numbers on.
_INFINITE = frozenset(("Clip", "Min", "Max", "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze"))
UNKNOWN = TensorType((-1,), "float32")
Dim = int | str | None


def import_graph(model: ModelProto, folder: Path | None) -> Graph:
    """`meta`: opset, producer, metadata_props, input_dims {name: dims as declared}, and of other
    values declared {name: (dims, element type)}."""
    opset = opset_of(model)
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedModelError("sparse initialisers are not supported")
    values: dict[str, Value] = {}
    for tensor in graph.initializer:
        values[tensor.name] = _constant(tensor.name, read_tensor(tensor, folder))
    inputs = [info for info in graph.input if info.name not in values]
    for info in inputs:
        values[info.name] = Value(info.name, TensorType((-1,), _element_type(info)))
    nodes, made = _nodes(graph.node, folder, opset)
    nodes = with_narrow_types(nodes, graph)
    values |= {name: _constant(name, data) for name, data in made.items()}
    ops = _ordered(_with_finite_weights(nodes, values), set(values))
    for op in ops:
        for out in op.outputs:
            if out in values:
                raise UnsupportedModelError(f"value {shown(out)} is written twice")
            values[out] = Value(out, UNKNOWN)
    outputs = tuple(o.name for o in graph.output)
    for name in outputs:
        if name not in values:
            raise UnsupportedModelError(f"graph output {shown(name)} is produced by no node")
        if outputs.count(name) > 1:
            raise UnsupportedModelError(f"graph output {shown(name)} is listed twice")
    meta = {
        "opset": opset,
        "producer": names.origin(model.producer_name),
        "metadata_props": {p.key[:200]: p.value[:200_000] for p in model.metadata_props},
        "parameters": _parameters(model),
        "output_names": outputs,
        "input_dims": {info.name: _dims(info) for info in inputs},
        "declared": {
            info.name: (_dims(info), _element_type(info))
            for info in (*graph.value_info, *graph.output)
        },
    }
    return Graph(
        names.plain(graph.name) or "model", "onnx", tuple(i.name for i in inputs), outputs,
        tuple(ops), values, meta,
    )  # fmt: skip


def _nodes(
    nodes: Iterable[NodeProto], folder: Path | None, opset: int, depth: int = 0
) -> tuple[list[Op], dict[str, NDArray]]:
    """In the words of today's opset, and the constants that this takes."""
    ops: list[Op] = []
    constants: dict[str, NDArray] = {}
    for i, node in enumerate(nodes):
        op, made = modern(_op(i, node, folder, opset, depth), opset)
        ops.append(op)
        constants |= made
    return ops, constants


def _branch(graph: GraphProto, folder: Path | None, opset: int, depth: int) -> Branch | None:
    """Of a node that has subgraphs; None where it has inputs, as a loop's has, or is no graph."""
    names = [n for node in graph.node for n in (*node.input, *node.output)]
    texts = (*names, *(o.name for o in graph.output))
    if graph.input or depth > MOST_NESTED or any(isinstance(t, bytes) for t in texts):
        return None
    ops, constants = _nodes(graph.node, folder, opset, depth + 1)
    constants |= {t.name: read_tensor(t, folder) for t in graph.initializer}
    named = tuple(op.replace(outputs=_named_outputs(op, i)) for i, op in enumerate(ops))
    return Branch(named, constants, tuple(o.name for o in graph.output))


def _parameters(model: ModelProto) -> int:
    """Trained numbers in the file: float weights, and integers that DequantizeLinear reads."""
    quantised = {
        n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input
    }
    scales = {i for n in model.graph.node if n.op_type in ("DequantizeLinear", "QuantizeLinear")
              for i in n.input[1:]}  # fmt: skip
    return sum(
        math.prod(t.dims)
        for t in weight_tensors(model)
        if t.dims
        and t.name not in scales
        and ((dtype_of(t.data_type) or "").startswith("float") or t.name in quantised)
    )


def _constant(name: str, data: NDArray) -> Value:
    return Value(name, TensorType(tuple(data.shape), str(data.dtype)), data)


def _with_finite_weights(ops: Sequence[Op], values: Mapping[str, Value]) -> list[Op]:
    """`ops`; those that read NaN or infinite numbers say so in their attribute "error".

    -inf is legal in an attention mask, and an infinite bound bounds nothing; the canonical stage
    checks where they may stand. What moves such a number is not to blame for it.
    """
    nan = {n for n, v in values.items() if v.data is not None and _holds(np.isnan, v.data)}
    inf = {n for n, v in values.items() if v.data is not None and _holds(np.isposinf, v.data)}
    return [_checked(op, nan, inf) for op in ops] if nan or inf else list(ops)


def _holds(kind: Callable[[NDArray], NDArray], data: NDArray) -> bool:
    return data.dtype.kind == "f" and bool(kind(data).any())


def _checked(op: Op, nan: Container[str | None], inf: Container[str | None]) -> Op:
    for name in op.inputs:
        if name in nan or (name in inf and op.kind not in _INFINITE):
            reason = f"weights {shown(str(name))} hold NaN or infinite values: {MEND}"
            return op.replace(attrs={"error": reason, **op.attrs})
    return op


def _element_type(info: ValueInfoProto) -> str:
    return dtype_of(info.type.tensor_type.elem_type) or "float32"


def _dims(info: ValueInfoProto) -> tuple[Dim, ...] | None:
    """Declared dimensions: int, name, or None where unknown; None when even the rank is."""
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        return None
    return tuple(_dim(d) for d in info.type.tensor_type.shape.dim)


def _dim(dim: TensorShapeProto.Dimension) -> Dim:
    """-1 and "?" are how PaddlePaddle and others write what they do not know: no size, no name."""
    if dim.HasField("dim_value"):
        return None if dim.dim_value == -1 else dim.dim_value
    return None if dim.dim_param in ("", "?") else dim.dim_param


def _op(index: int, node: NodeProto, folder: Path | None, opset: int, depth: int = 0) -> Op:
    own = node.domain in DOMAINS and (node.domain, node.op_type) not in NAMESAKES
    kind = node.op_type if own else f"{node.domain}.{node.op_type}"
    raw = node.name or f"{node.op_type}_{index}"
    attrs: dict[str, Any] = {}
    for attribute in node.attribute:
        attrs[attribute.name] = (
            _branch(attribute.g, folder, opset, depth)
            if attribute.type == AttributeProto.GRAPH
            else _attribute(attribute, folder)
        )
    broken = _breaks_schema(node, opset)
    if broken:
        attrs["error"] = broken
    for key in {"to", "output_dtype"} & set(attrs):
        given = attrs[key]
        attrs[key] = (dtype_of(given) if isinstance(given, int) else None) or "unsupported"
    return Op(
        kind, _module(node), tuple(i or None for i in node.input),
        tuple(node.output), attrs, (raw,),
    )  # fmt: skip


def _breaks_schema(node: NodeProto, opset: int) -> str | None:
    """What the ONNX standard says against the node's inputs, outputs and attributes."""
    schema = _schema(node.op_type, opset) if node.domain in ("", "ai.onnx") else None
    if schema is None:
        return None
    inputs, outputs, required = schema
    given = len(node.input)
    if given not in inputs:
        return f"malformed: {given} inputs, want {inputs.start} to {inputs.stop - 1}"
    if len(node.output) not in outputs:
        return f"malformed: {len(node.output)} outputs"
    missing = next((i for i in range(inputs.start) if not node.input[i]), None)
    if missing is not None:
        return f"malformed: input {missing} is missing"
    names = {a.name for a in node.attribute} if required else set()
    lost = [n for n in required if n not in names]
    return f"malformed: attribute {lost[0]} is missing" if lost else None


@lru_cache(maxsize=1 << 10)
def _schema(kind: str, opset: int) -> tuple[range, range, tuple[str, ...]] | None:
    """How many inputs and outputs an operator of the ONNX standard has, and the attributes that it must have."""
    if not onnx.defs.has(kind, opset):
        return None
    schema = onnx.defs.get_schema(kind, opset)
    return (
        range(schema.min_input, schema.max_input + 1),
        range(schema.min_output, schema.max_output + 1),
        tuple(n for n, a in schema.attributes.items() if a.required),
    )


def _module(node: NodeProto) -> str:
    """The module a node was exported from, "" for the model itself; else the node's own name."""
    for prop in node.metadata_props:
        if prop.key == "pkg.torch.onnx.name_scopes":
            return names.module_of_scopes(prop.value)
    if node.name.startswith("/"):
        return names.module_of_path(node.name)
    return names.plain(node.name or node.op_type)


def _attribute(a: AttributeProto, folder: Path | None) -> Any:
    match a.type:
        case AttributeProto.FLOAT:
            return float(a.f)
        case AttributeProto.INT:
            return int(a.i)
        case AttributeProto.STRING:
            return a.s.decode("utf-8", "replace")
        case AttributeProto.FLOATS:
            return tuple(a.floats)
        case AttributeProto.INTS:
            return tuple(a.ints)
        case AttributeProto.TENSOR:
            return read_tensor(a.t, folder)
        case AttributeProto.STRINGS:
            return tuple(s.decode("utf-8", "replace") for s in a.strings)
        case _:
            return None


def _ordered(ops: list[Op], known: set[str]) -> list[Op]:
    """Topological order, the file's own where it is one already."""
    producer: dict[str, int] = {}
    for i, op in enumerate(ops):
        for out in op.outputs:
            if out and out in producer:
                raise UnsupportedModelError(f"value {shown(out)} is written twice")
            producer[out] = i
    _inputs_exist(ops, known | set(producer))
    needs = [{producer[n] for n in op.inputs if n is not None and n not in known} for op in ops]
    users: dict[int, list[int]] = {}
    for i, wanted in enumerate(needs):
        for p in wanted:
            users.setdefault(p, []).append(i)
    waiting = [len(wanted) for wanted in needs]
    ready = [i for i, n in enumerate(waiting) if n == 0]
    heapq.heapify(ready)
    order: list[Op] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(ops[i].replace(outputs=_named_outputs(ops[i], i)))
        for user in users.get(i, ()):
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(ops):
        stuck = next(op for op, n in zip(ops, waiting, strict=True) if n > 0)
        raise UnsupportedModelError(f"the graph has a cycle through node {shown(stuck.origin[0])}")
    return order


def _named_outputs(op: Op, index: int) -> tuple[str, ...]:
    """Unused optional outputs ("") get a name of their own."""
    return tuple(out or f"\0unused.{index}.{i}" for i, out in enumerate(op.outputs))


def _inputs_exist(ops: Iterable[Op], known: set[str]) -> None:
    for op in ops:
        for name in op.inputs:
            if name is not None and name not in known:
                raise UnsupportedModelError(
                    f"node {shown(op.origin[0])} ({op.kind}) reads {shown(name)}, "
                    "which no initialiser, input or node provides"
                )
