"""Tensors of 4 bits are held as 8: a QuantizeLinear that makes some says so, or it would cut at -128."""

from __future__ import annotations

from collections.abc import Container, Iterator

from onnx import GraphProto, NodeProto, TensorProto

from mcuformer.frontend.tensors import NIBBLES
from mcuformer.ir.graph import Op


def with_narrow_types(ops: list[Op], graph: GraphProto) -> list[Op]:
    """`ops` of the graph's nodes, one each; those that quantise to 4 bits have the attribute "bits"."""
    tensors = _tensors(graph)
    narrow: set[str | None] = {name for name, t in tensors if t.data_type in NIBBLES}
    return [
        op.replace(attrs={**op.attrs, "bits": 4}) if _quantises(op, node, narrow) else op
        for op, node in zip(ops, graph.node, strict=True)
    ]


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    yield from ((t.name, t) for t in graph.initializer)
    constants = (n for n in graph.node if n.op_type == "Constant" and n.output)
    yield from ((n.output[0], a.t) for n in constants for a in n.attribute if a.HasField("t"))


def _quantises(op: Op, node: NodeProto, narrow: Container[str | None]) -> bool:
    if op.kind != "QuantizeLinear":
        return False
    asked = any(a.name == "output_dtype" and a.i in NIBBLES for a in node.attribute)
    return asked or op.operand(2) in narrow
