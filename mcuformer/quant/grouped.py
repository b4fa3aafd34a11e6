"""Convolutions of several groups: those with a group per channel are a kind of their own."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op


def is_depthwise(graph: Graph, op: Op) -> bool:
    """One input channel per output channel."""
    group = op.attrs.get("group", 1)
    return bool(group > 1 and graph.type(str(op.inputs[1])).shape[2:] == (1, group))
