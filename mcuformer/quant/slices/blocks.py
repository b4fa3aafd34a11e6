"""Blocks of the residual stream that every width takes whole, for `rotate_stream`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.rewrites.rotate_stream import StreamBlocks
from mcuformer.quant.slices.match import SlicePlaces, places_of, stacks_of

Interval = tuple[int, int]


def with_blocks(graphs: Sequence[Graph], full: int) -> tuple[list[Graph], list[SlicePlaces]]:
    """The canonical `graphs` with meta["stream_blocks"], and where the layers of each lie in those
    of the `full`-th; UsageError where they are no slices of it."""
    plain = [prepare(_with(g, ())) for g in graphs]
    places = [places_of(plain[full], g) for g in plain]
    intervals = [_interval(g, at) for g, at in zip(plain, places, strict=True)]
    return [_with(g, b) for g, b in zip(graphs, _blocks(intervals), strict=True)], places


def _with(graph: Graph, blocks: StreamBlocks) -> Graph:
    return graph.replace(meta={**graph.meta, "stream_blocks": blocks})


def _interval(graph: Graph, places: SlicePlaces) -> Interval | None:
    """The channels of the full stream that a width has: what its writers write; None where these
    disagree."""
    writers = [
        op for stack in stacks_of(graph) for op in stack
        if op.kind != "linear" or op.inputs[3] is not None
    ]  # fmt: skip
    found = {
        (places[op.name].row, places[op.name].row + graph.type(op.outputs[0]).shape[-1])
        for op in writers
    }
    return found.pop() if len(found) == 1 else None


def _blocks(intervals: Sequence[Interval | None]) -> list[StreamBlocks]:
    """Per width; the seed of a block is its first channel in the full stream."""
    known = [i for i in intervals if i is not None]
    if len(known) < len(intervals):
        return [()] * len(intervals)
    ends = sorted({end for interval in known for end in interval})
    blocks = [(b - a, a) for a, b in pairwise(ends)]
    return [
        tuple((n, at) for n, at in blocks if low <= at and at + n <= high) for low, high in known
    ]
