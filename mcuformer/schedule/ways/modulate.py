"""A modulation with its images whole: every step of it a region of its own.

The other two ways are channel_tiles.py, some channels of all rows at a time, and sweeps.py, strips of
lines, once for the mean and once for the rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from mcuformer.ir.graph import Op
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.images import KnownValues
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import CONVOLUTIONS, MEANS, VIEWS, Choice, Region
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.conv import convolve
from mcuformer.schedule.ways.join import view
from mcuformer.schedule.ways.mean import mean
from mcuformer.schedule.ways.rows import tokenwise


def whole_images(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """What a convolution reads or makes, and every mean, exists whole; rows run in tiles."""
    kept = {region.target, *ends(em, region.ops)}
    em.where[region.target] = target
    return run(em, pieces(region.ops, kept), choice)


def ends(em: TaskEmitter, ops: Sequence[Op]) -> Iterator[str]:
    """What tiles of rows cannot hand on: all that other operations read and make, and what is made of
    a mean before it meets the rows."""
    yield from single_rows(em, ops)
    for op in ops:
        if op.kind in CONVOLUTIONS | VIEWS:
            yield str(op.inputs[0])
            yield op.outputs[0]


def line_operations(graph: KnownValues, ops: Sequence[Op]) -> tuple[Op, ...]:
    """Without the means, and what is made of them before it meets the rows: a sweep of lines."""
    rows = single_rows(graph, ops)
    return tuple(op for op in ops if op.outputs[0] not in rows)


def single_rows(graph: KnownValues, ops: Sequence[Op]) -> list[str]:
    """The means, and what is made of them before they meet the rows."""
    found: list[str] = []
    for op in ops:
        after = any(n in found for n in op.inputs) and graph.type(op.outputs[0]).shape[0] == 1
        if op.kind in MEANS or after:
            found.append(op.outputs[0])
    return found


def pieces(ops: Sequence[Op], kept: Container[str]) -> Iterator[Region]:
    """`ops` cut into regions that make one value of `kept` each; what several want is made again."""
    producers = {op.outputs[0]: op for op in ops}
    for op in ops:
        if op.outputs[0] in kept:
            wanted, stack = {op}, [op]
            while stack:
                for name in stack.pop().inputs:
                    if name in producers and name not in kept and producers[name] not in wanted:
                        wanted.add(producers[name])
                        stack.append(producers[name])
            yield Region(op.outputs[0], tuple(o for o in ops if o in wanted))


def run(em: TaskEmitter, regions: Iterator[Region], choice: Choice) -> Steps:
    """One after the other; what has no place yet gets a buffer."""
    steps: Steps = []
    for region in regions:
        op, value = region.ops[-1], region.target
        if op.kind in VIEWS:
            at = view(em, op)
            assert at is not None, f"{op.name} is no view"
            em.where[value] = at
            continue
        if value not in em.where:
            em.where[value] = em.rows_buffer(value, em.values[value].type.shape[0])
        way = convolve if op.kind in CONVOLUTIONS else mean if op.kind in MEANS else tokenwise
        steps += way(em, region, em.where[value], choice)
    return steps
