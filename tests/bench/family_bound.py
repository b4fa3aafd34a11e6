"""The largest set of tensors that must live together, whatever tiles and strips are chosen.

Counted from the regions of a skeleton, in the order in which they run. What a region reads for the last
time may give its bytes to what the region makes; an attention whose input is the stream also needs K and
V of a window's or of all its keys, or its result beside its input where that is less.
"""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.operators.outline import outline
from mcuformer.schedule.build import Skeleton, skeleton
from mcuformer.schedule.regions import Region, activations


def largest_set(graph: Graph, mode: str) -> int:
    """Bytes."""
    made = skeleton(outline(graph), mode)
    ends = _ends(made)
    live: set[str] = set(_whole(made, made.graph.inputs))
    most = 0
    for i, region in enumerate(made.regions):
        dying = {n for n in live if ends.get(n, -1) <= i}
        target = set(_whole(made, (region.target,)))
        inside = max(_bytes(made, dying), _bytes(made, target)) + _attended(made, region)
        most = max(most, _bytes(made, live - dying) + inside)
        live = live - dying | target
    return most


def _ends(made: Skeleton) -> dict[str, int]:
    """The last region that reads a value."""
    ends = {
        name: i
        for i, region in enumerate(made.regions)
        for op in region.ops
        for name in activations(made.graph, op)
    }
    return ends | dict.fromkeys(made.graph.outputs, len(made.regions))


def _whole(made: Skeleton, names: tuple[str, ...]) -> list[str]:
    """Those that have bytes in the arena."""
    where = made.emitter.where
    return [n for n in names if n in where and where[n].buffer is not None]


def _bytes(made: Skeleton, names: set[str]) -> int:
    return sum(made.graph.type(n).size_bytes for n in names)


def _attended(made: Skeleton, region: Region) -> int:
    op = region.attention
    if op is None:
        return 0
    graph = made.graph
    inside = [str(n) for n in op.inputs[1:3] if n not in made.emitter.where]
    keys = sum(graph.type(n).size_bytes for n in inside) // op.attrs.get("windows", 1)
    return min(keys, graph.type(op.outputs[0]).size_bytes)
