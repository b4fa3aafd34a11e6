"""The largest set of tensors that must live together, whatever tiles, strips and cuts are chosen.

A value is whole because of its readers: an attention, a mean, a join or patches read it, or it lies
on the border of two regions. A run of operations by lines may be cut anywhere: of all cuttings that
need as little as can be, lines included (docs/adr/0012), that one counts whose largest set is least, so
no value is in the set that is whole without need. The bytes of a view count once, with what it is a
view of. What is read for the last time may give its bytes to what is made of it, and rings of lines,
tiles and kernels' scratch are in no set. An attention whose input is the stream also needs K and V of
a window's or of all its keys, or its result beside its input where that is less. The order is the
planner's own (schedule/order.py: the best that it finds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Graph, Op
from mcuformer.memory.model import MemoryPlan
from mcuformer.operators.outline import outline
from mcuformer.program.program import Program
from mcuformer.schedule import cutting
from mcuformer.schedule.build import skeleton
from mcuformer.schedule.images import line_counts
from mcuformer.schedule.needs import Need, Needs
from mcuformer.schedule.regions import Region, split


def largest_set(graph: Graph, mode: str) -> int:
    """Bytes; `graph`: an integer graph."""
    ordered = skeleton(outline(graph), mode).graph
    regions = split(ordered)
    counts = line_counts(ordered.ops, ordered)
    needs = Needs.of(ordered, regions, counts, mode)
    parts = cutting._parts(ordered, regions, counts)
    runs = [cutting._Run(ordered, part, needs) for part, by_lines in parts if by_lines]
    limit = max((run.least() for run in runs), default=0)
    whole = Whole.of_values(needs, limit)
    most = start = 0
    for part, by_lines in parts:
        if by_lines:
            most = max(most, cutting._Run(ordered, part, whole).least())
        for region in part:
            most = max(most, 0 if by_lines else whole.of_part(region, start))
            start += len(region.ops)
    return most


@dataclass(frozen=True, slots=True, eq=False)
class Whole(Needs):
    """Needs of whole values alone, of regions that need at most `limit` bytes with their lines."""

    limit: int = 0

    @staticmethod
    def of_values(needs: Needs, limit: int) -> Whole:
        return Whole(*(getattr(needs, name) for name in Needs.__slots__), limit)

    def of_region(self, ops: Sequence[Op], also: Sequence[str] = ()) -> Need | None:
        """As of the base, without lines; the target lies over what dies, where that is no less."""
        need = Needs.of_region(self, ops, also)
        if need is None or min(need) > self.limit:
            return need
        start = self.places[ops[0].name]
        return (self._together(ops, start, also),) * 2

    def of_part(self, region: Region, start: int) -> int:
        """`start`: where its operations begin in the order of all; some are made again elsewhere."""
        return self._together(region.ops, start) + self._attended(region)

    def _together(self, ops: Sequence[Op], start: int, also: Sequence[str] = ()) -> int:
        target = ops[-1].outputs[0]
        read = {self.root.get(n, n) for op in ops for n in op.inputs if n is not None}
        read = (read & self.last.keys()) - {op.outputs[0] for op in ops}
        dying = sum(self._size(n) for n in read if self._dies(n, ops))
        beside = self.alive[start] + sum(map(self._size, also))
        if self.root.get(target, target) != target:
            return beside  # a view
        return beside + max(0, self._size(target) - dying)

    def _size(self, name: str) -> int:
        return self.graph.type(name).size_bytes

    def _attended(self, region: Region) -> int:
        """Keys and values that the region makes itself, of one window."""
        if region.attention is None:
            return 0
        inside = {op.outputs[0] for op in region.ops}
        op = region.attention
        made = {str(n) for n in op.inputs[1:3]} & inside
        keys = sum(map(self._size, made)) // op.attrs.get("windows", 1)
        return min(keys, self._size(op.outputs[0]))


def peak_bytes(program: Program, plan: MemoryPlan) -> list[tuple[str, int]]:
    """What is alive at the peak, the largest first: buffer, bytes."""
    at = plan.peak.position
    found = []
    for name in program.buffers:
        live = [span.hi - span.lo for span in plan.lives[name] if span.first <= at <= span.last]
        if live:
            found.append((name, sum(live)))
    return sorted(found, key=lambda item: -item[1])
