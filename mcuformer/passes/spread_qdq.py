"""A value without a scale of its own in a QDQ model takes its neighbour's where that must fit.

Moves, means and maxima stay inside the range of their input; a layer that a ReLU alone reads may
saturate where the ReLU cuts; tanh and sigmoid have ranges by nature. Other values stay without.
"""

from __future__ import annotations

from mcuformer.ir.functions import FUNCTIONS, clamp_bounds, split
from mcuformer.ir.graph import Graph, Op

_INSIDE = ("reshape", "slice", "gather", "mean", "maxpool", "avgpool", "resize")


def spread_qdq(graph: Graph) -> Graph:
    if "qdq" not in graph.meta:
        return graph
    table = dict(graph.meta["qdq"])
    for op in graph.ops:
        inside = op.kind in _INSIDE or clamp_bounds(op.attrs.get("fn")) is not None
        if inside and op.inputs[0] in table:
            table.setdefault(op.outputs[0], table[op.inputs[0]])
        fn = split(op.attrs.get("fn") or "")[0]
        if fn in FUNCTIONS and FUNCTIONS[fn].grid is not None:
            table.setdefault(op.outputs[0], FUNCTIONS[fn].grid)
    readers = graph.consumers()
    for op in reversed(graph.ops):
        users = readers[op.outputs[0]]
        if len(users) == 1 and op.outputs[0] not in graph.outputs and _same_range(op, users[0]):
            follower = users[0].outputs[0]
            if follower in table:
                table.setdefault(op.outputs[0], table[follower])
    return graph.replace(meta={**graph.meta, "qdq": table})


def _same_range(op: Op, reader: Op) -> bool:
    """Parts of a join of rows lie in place: it cannot saturate where they do not."""
    if op.kind == "concat" and op.attrs["axis"] == 0:
        return reader.kind == "reshape"
    return reader.kind == "reshape" or clamp_bounds(reader.attrs.get("fn")) is not None
