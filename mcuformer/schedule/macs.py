"""Multiply-accumulates and weight bytes of an int-graph operation."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op


def op_macs(graph: Graph, op: Op) -> int:
    out = int(np.prod(graph.type(op.outputs[0]).shape))
    if op.kind in ("q_linear", "q_conv2d", "q_patch_embed", "q_dwconv2d"):
        return out * graph.type(str(op.inputs[1])).shape[1]
    if op.kind == "q_attention":
        q, k = (graph.type(str(n)).shape for n in op.inputs[:2])
        heads = op.attrs["heads"]
        per_head = q[1] // heads + graph.type(op.outputs[0]).shape[1] // heads
        return q[0] * (k[0] // op.attrs.get("windows", 1)) * heads * per_head
    return 0


def op_weight_bytes(graph: Graph, op: Op) -> int:
    """int8 bytes of the weight matrix (packing and 4-bit weights are the packer's)."""
    return sum(
        graph.type(str(n)).size_bytes
        for n in op.inputs[1:2]
        if op.kind.startswith("q_")
        and n is not None
        and graph.values[n].is_const
        and op.kind != "q_add"
    )
