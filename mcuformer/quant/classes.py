"""Values that share one quantisation because operators only move their numbers."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import MOVES


def moved_values(graph: Graph, op: Op) -> list[str]:
    """The activations that `op` copies unchanged into its output, and the output."""
    if op.kind not in MOVES:
        return []
    inputs = [str(n) for n in op.inputs if graph.const(n) is None]
    return [*inputs, op.outputs[0]]


def value_classes(graph: Graph) -> dict[str, tuple[str, ...]]:
    """value -> the tuple of all values of its class, the same object for all its members."""
    members: dict[str, list[str]] = {n: [n] for n, v in graph.values.items() if not v.is_const}
    for op in graph.ops:
        moved = moved_values(graph, op)
        for name in moved[:-1]:
            a, b = members[name], members[moved[-1]]
            if a is not b:
                a += b
                members.update(dict.fromkeys(b, a))
    done: dict[int, tuple[str, ...]] = {}
    return {n: done.setdefault(id(m), tuple(m)) for n, m in members.items()}


def changes_channels(graph: Graph, op: Op) -> bool:
    """Whether a move relates other channel numbers, so that only one scale for all fits."""
    if op.kind in ("slice", "concat"):
        return bool(op.attrs["axis"] == 1)
    shapes = [graph.type(n).shape for n in moved_values(graph, op)]
    return op.kind == "reshape" and shapes[0][-1] != shapes[1][-1]
