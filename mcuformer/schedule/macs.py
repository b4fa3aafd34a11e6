"""Multiply-accumulates and weight bytes of an int-graph operation."""

from __future__ import annotations

import math

from mcuformer.ir.graph import Graph, Op

WEIGHTED = ("q_linear", "q_conv2d", "q_patch_embed", "q_dwconv2d")


def op_macs(graph: Graph, op: Op) -> int:
    out = math.prod(graph.type(op.outputs[0]).shape)
    if op.kind in WEIGHTED:
        return out * graph.type(str(op.inputs[1])).shape[1]
    if op.kind == "q_attention":
        q, k = (graph.type(str(n)).shape for n in op.inputs[:2])
        heads = op.attrs["heads"]
        per_head = q[1] // heads + graph.type(op.outputs[0]).shape[1] // heads
        return q[0] * (k[0] // op.attrs.get("windows", 1)) * heads * per_head
    return 0


def op_weight_bits(op: Op) -> int:
    """4 or 8 for an operation with a weight matrix, else 0."""
    return int(op.attrs.get("weight_bits", 8)) if op.kind in WEIGHTED else 0


def op_weight_bytes(graph: Graph, op: Op) -> int:
    """Bytes of the weight matrix at its bits, without the padding of the packer."""
    bits = op_weight_bits(op) or 8
    return sum(
        -(-graph.type(str(n)).size_bytes * bits // 8)
        for n in op.inputs[1:2]
        if op.kind.startswith("q_")
        and n is not None
        and graph.values[n].is_const
        and op.kind != "q_add"
    )
