"""How many bytes a region by lines needs at least, from shapes alone: what schedule/cutting.py weighs.

All values that live beside it, its target unless it lies over an input that dies, and of every
image inside the lines that are kept between two steps and those that a step adds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.line_outputs import leaving
from mcuformer.operators.table import INT_OPS, kinds
from mcuformer.schedule.images import (
    LINES,
    has_lines,
    image_operand,
    joins_channels,
    reads_by_bands,
)
from mcuformer.schedule.regions import Region
from mcuformer.schedule.ways.flow import LineGraph, line_graph, wants_copy
from mcuformer.schedule.ways.homes import found_homes, shift
from mcuformer.schedule.ways.over import trails
from mcuformer.schedule.ways.over_image import can_lie_over, channels_bytes
from mcuformer.schedule.ways.strips import Flow, Strips

VIEWS = kinds("view")
MOST_SIDES = 2  # values that a region makes whole beside its target
# Bytes; and bytes where the inputs that it overwrites are copied by lines, rows, or channels (over_image.py).
Need = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """`alive[t]`: bytes of whole values that were made before position t and are read from it on.
    `last[v]`: the position that reads a value last; `root[v]`: whose bytes a view is; `gone`: outputs that
    leave by lines."""

    graph: Graph
    counts: Mapping[str, int]
    places: Mapping[str, int]
    alive: Sequence[int]
    last: Mapping[str, int]
    root: Mapping[str, str]
    pulled: str | None
    gone: Collection[str]

    @staticmethod
    def of(graph: Graph, regions: Sequence[Region], counts: Mapping[str, int], mode: str) -> Needs:
        """`regions` as they are before any is cut anew; `counts`: lines of values."""
        order = [op for region in regions for op in region.ops]
        pulled = (
            graph.inputs[0]
            if mode == "flash" or (mode == "bands" and reads_by_bands(graph))
            else None
        )
        root = _roots(graph, order)
        first, last = _lives(graph, order, root)
        targets = {region.target for region in regions}
        targets |= {
            op.outputs[0] for r in regions if r.in_lines or r.attention is None for op in r.ops
        }
        change = [0] * (len(order) + 2)
        for name, at in first.items():
            if (name in targets or name in graph.inputs) and name != pulled and name in last:
                change[at + 1] += graph.type(name).size_bytes
                change[last[name] + 1] -= graph.type(name).size_bytes
        places = {op.name: i for i, op in enumerate(order)}
        alive = list(accumulate(change))
        return Needs(graph, counts, places, alive, last, root, pulled, leaving(graph))

    def regions_to(
        self, b: int, atoms: Sequence, last_read: Sequence[int], longest: int
    ) -> Iterator[tuple[int, Need]]:
        """The first atoms of the regions that may end with atom `b`, and what each needs."""
        sides: list[int] = []
        for a in range(b, max(-1, b - longest), -1):
            if a < b and last_read[a] > b:
                sides.append(a)
                if len(sides) > MOST_SIDES or not self._is_side(atoms[a].values):
                    return
            if not all(_forks(atoms, last_read, a, i) for i in sides):
                continue
            ops = _operations(atoms[a : b + 1])
            if not has_lines(ops) and any(op.kind in VIEWS for op in ops):
                continue
            also = [atoms[i].op.outputs[0] for i in reversed(sides)]
            cost = self.of_region(ops, also)
            if cost is None:
                return
            yield a, cost

    def _is_side(self, values: Sequence[str]) -> bool:
        """Whether a region may make a value, with its views, whole beside the target."""
        return values[0] in self.counts and not any(n in self.graph.outputs for n in values)

    def of_region(self, ops: Sequence[Op], also: Sequence[str] = ()) -> Need | None:
        """None where its lines are read at two speeds, or parts are joined for no image; `also`: what it
        makes whole beside its target."""
        joined = len(ops) > 1 and any(map(joins_channels, ops))
        if joined and (joins_channels(ops[-1]) or not has_lines(ops)):
            return None
        seen = line_graph(self.graph, ops, (), self.counts, also)
        if seen.flow.scales() is None:
            return None
        beside = self.alive[self.places[ops[0].name]]
        beside += sum(self.graph.type(n).size_bytes for n in also)
        target = self._target_bytes(ops[-1].outputs[0])
        if not has_lines(ops):
            plain, copying = (self._grows(seen, ops, target, aside) for aside in (False, True))
            return beside + plain, beside + copying
        within = self._windows(seen)
        if self.may_overwrite(seen, ops) is not None:
            return (beside + within,) * 2
        plain = beside + within + target
        over = beside + channels_bytes(ops[-1], self.graph) if self.over(ops, also) else plain
        names = self.copied(ops, also)
        if not names:
            return plain, over
        by_lines = self._windows(line_graph(self.graph, ops, names, self.counts, also))
        return plain, min(over, beside + by_lines)

    def _target_bytes(self, name: str) -> int:
        """0 where it only leaves by lines."""
        gone = name in self.gone and not self.graph.consumers()[name]
        return 0 if gone else self.graph.type(name).size_bytes

    def _grows(self, seen: LineGraph, ops: Sequence[Op], target: int, aside: bool) -> int:
        """Bytes of a row-wise target beside an input that dies: wider rows lie over narrow ones that the
        operation in front has read, or that are copied `aside`, a tile at a time (ways/rows.py)."""
        found, rows = [target], INT_OPS[ops[-1].kind].movement == "rows"
        for name in seen.at:
            size = self.graph.type(name).size_bytes if self._dies(name, ops) else 0
            again = wants_copy(ops[-1], name, True) or (size < target and name in ops[-1].inputs)
            if size and (not again or (aside and rows)):
                found.append(max(0, target - size))
        return min(found)

    def over(self, ops: Sequence[Op], also: Sequence[str]) -> bool:
        """Whether it is a convolution that can be written over its image, which dies, by channels, or a
        row-wise region over an input of which tiles are copied."""
        if not has_lines(ops):
            return True
        alone = len(ops) == 1 and not also and can_lie_over(ops[0], self.graph)
        return alone and self._dies(image_operand(ops[0]), ops)

    def copied(self, ops: Sequence[Op], also: Sequence[str]) -> tuple[str, ...]:
        """The inputs of which lines have to be copied for the target to overwrite them; none: it cannot."""
        seen = line_graph(self.graph, ops, (), self.counts, also)
        wanted = [
            n for n in seen.names[: seen.flow.sources]
            if any(n in op.inputs and wants_copy(op, n, op is ops[-1]) for op in ops)
        ]  # fmt: skip
        for name in wanted:
            names = tuple(n for n in wanted if self.root.get(n, n) == self.root.get(name, name))
            if (
                self.may_overwrite(line_graph(self.graph, ops, names, self.counts, also), ops)
                is not None
            ):
                return names
        return ()

    def may_overwrite(self, seen: LineGraph, ops: Sequence[Op]) -> str | None:
        """An input whose place the target may take, line by line."""
        size, line = self._bytes(seen, -1)
        strips = None
        for name in seen.names[: seen.flow.sources]:
            if not self._dies(name, ops) or self.graph.type(name).size_bytes < size:
                continue
            strips = strips or Strips.without_windows(seen.flow, 1)
            root = self.root.get(name, name)
            alike = [
                k
                for k in range(seen.flow.sources)
                if self.root.get(seen.names[k], seen.names[k]) == root
            ]
            lines = [self._bytes(seen, k)[1] for k in alike]
            if all(trails(seen, strips, k, line, n) for k, n in zip(alike, lines, strict=True)):
                return name
        return None

    def _dies(self, name: str, ops: Sequence[Op]) -> bool:
        root = self.root.get(name, name)
        inside = any(name == op.outputs[0] for op in ops)
        end = self.places[ops[-1].name]
        return not inside and root not in self.graph.inputs and self.last.get(root, end) <= end

    def _bytes(self, seen: LineGraph, k: int) -> tuple[int, int]:
        """Of image k, and of a line of it."""
        size = self.graph.type(seen.names[k]).size_bytes
        return size, size // seen.flow.heights[k]

    def _windows(self, seen: LineGraph) -> int:
        """Of all images that are not whole: what is kept, and the most that a step adds at a time. What is
        written over the lines that it is made of (ways/homes.py) adds none."""
        flow = seen.flow
        found = flow.scales()
        assert found is not None
        scale, _ = found
        made = flow.reaches(0)
        mixed = any(op is not None and op.kind not in LINES for op in seen.ops)
        homes = (
            found_homes(
                self.graph, seen, lambda k: flow.overlap(k, made), partial(self._whole, seen)
            )
            if mixed
            else {}
        )
        kept, adds, ends = 0, [0] * len(flow.heights), _last_readers(flow, homes)
        for k in range(len(flow.heights) - 1):
            op = seen.ops[k]
            if k in homes:
                kept += shift(self.graph, seen.names[k], op) if op and op.kind in LINES else 0
                continue
            if self._whole(seen, k):
                continue
            size, line = self._bytes(seen, k)
            keeps = min(size, flow.overlap(k, made) * line)
            adds[k] = min(size - keeps, math.ceil(scale[k]) * line)
            kept += keeps
        return kept + _most(flow, adds, ends)

    def _whole(self, seen: LineGraph, k: int) -> bool:
        """Whether all lines of image k lie somewhere."""
        name = seen.names[k]
        if k == len(seen.names) - 1 or name in seen.also:
            return True
        return seen.ops[k] is None and name != self.pulled and seen.copies.get(name) != k


def _last_readers(flow: Flow, homes: Mapping[int, int]) -> list[int]:
    """What reads a window last, where other images lie in it."""
    found = [max((r for r, _ in readers), default=k) for k, readers in enumerate(flow.readers)]
    for k in sorted(homes, reverse=True):
        found[homes[k]] = max(found[homes[k]], found[k])
    return found


def _most(flow: Flow, adds: Sequence[int], ends: Sequence[int]) -> int:
    """The most new lines that exist at a time: from where they are made to where they are read last."""
    change = [0] * (len(adds) + 2)
    for k, size in enumerate(adds[:-1]):
        change[k if k >= flow.sources else flow.readers[k][0][0]] += size
        change[ends[k] + 1] -= size
    return max(accumulate(change))


def _forks(atoms: Sequence, last_read: Sequence[int], a: int, i: int) -> bool:
    """Whether atom i reads what one of the atoms from `a` on makes, and another one reads it later."""
    read = atoms[i].op.inputs
    return any(last_read[j] > i and any(n in read for n in atoms[j].values) for j in range(a, i))


def _operations(atoms: Sequence) -> list[Op]:
    """Of a region of these atoms; what is made last is no view."""
    *inner, last = atoms
    return [*(op for atom in inner for op in (atom.op, *atom.views)), last.op]


def _roots(graph: Graph, order: Sequence[Op]) -> dict[str, str]:
    root: dict[str, str] = {}
    for op in order:
        if op.kind in VIEWS:
            x = str(op.inputs[0])
            root[op.outputs[0]] = root.get(x, x)
    return root


def _lives(
    graph: Graph, order: Sequence[Op], root: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Where bytes are made and where they are read last."""
    first, last = dict.fromkeys(graph.inputs, -1), {}
    for i, op in enumerate(order):
        if op.kind not in VIEWS:
            first[op.outputs[0]] = i
        for name in op.inputs:
            if name is not None and graph.values[name].data is None:
                last[root.get(name, name)] = i
    for name in graph.outputs:
        last[root.get(name, name)] = len(order)
    return first, last
