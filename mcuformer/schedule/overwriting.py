"""Token overwriting: a value takes the place of an input that dies where it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kernel_of, operand
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import PICKS, TOKENWISE, Region, activations, repeated
from mcuformer.schedule.ways.embed import by_patches
from mcuformer.schedule.ways.flow import LineGraph, line_graph
from mcuformer.schedule.ways.over import trails
from mcuformer.schedule.ways.patch_rows import may_lie_over, reads_patches, sources
from mcuformer.schedule.ways.strips import Strips


def stays(em: TaskEmitter, value: str) -> bool:
    """Whether the caller reads `value` in the arena when all is done."""
    return value in em.graph.outputs and value not in em.leaving


@dataclass(frozen=True, slots=True)
class Overwriting:
    """`read_until`: the last region that reads a buffer, `last`: a value; both grow as storage is assigned."""

    em: TaskEmitter
    graph: Graph
    read_until: dict[str | None, int]
    last: dict[str, int]

    def place(self, region: Region, index: int) -> Loc | None:
        """Where the target of region `index` may overwrite one of its inputs, None for nowhere."""
        return self._overwritten(region, index) or self._merged(region, index)

    def _overwritten(self, region: Region, index: int) -> Loc | None:
        """The input whose rows die here gives its buffer to the target, row for row."""
        if stays(self.em, region.target):
            return None
        op, graph = region.ops[-1], self.graph
        if op.kind in PICKS:
            return self._permuted(op, index)
        if region.in_lines:
            return self._trailing(region, index)
        if not all(o.kind in TOKENWISE or o is region.attention for o in region.ops):
            return None
        if region.attention is op:
            return None
        inputs = dict.fromkeys(n for o in region.ops for n in activations(graph, o))
        dying = [self.em.where[n] for n in inputs if self._dies_row_by_row(n, region, index)]
        size = self.em.row_bytes(region.target)
        for loc in dying:
            if loc.row_bytes == size and self._read_before(region, loc):
                return loc
        for loc in dying:
            if loc.row_bytes > size and self._read_aside(region, loc):
                return replace(loc, stride=size, row_bytes=size)
        return None

    def _dies_row_by_row(self, name: str, region: Region, index: int) -> bool:
        """Whether a value has a row for each of the target's, in a buffer that nobody reads after them."""
        loc = self.em.where.get(name)
        if loc is None or loc.buffer is None or name in self.graph.inputs:
            return False
        rows = self.em.values[region.target].type.shape[0]
        alike = loc.start == Expr() and loc.stride == loc.row_bytes
        kept = self.em.buffers[loc.buffer].kind == "output" or self.last.get(name, -1) > index
        same = alike and self.em.values[name].type.shape[0] == rows
        return same and not kept and self.read_until[loc.buffer] <= index

    def _read_aside(self, region: Region, source: Loc) -> bool:
        """Whether a narrower row i may be written where rows up to i lay: tiles of them are made of
        it first, and what is written reads those alone."""
        if region.attention is not None:
            return False
        again = [n for o in region.ops for n in repeated(self.graph, o)]
        directly = [*again, *activations(self.graph, region.ops[-1])]
        read = [self.em.where.get(n) for n in directly]
        return all(at is None or at.buffer != source.buffer for at in read)

    def _read_before(self, region: Region, target: Loc) -> bool:
        """Whether row i of the target may be written at `target` as soon as row i was read there.

        A linear layer reads its rows again for every panel of channels, an attention its keys for
        every query, a sum or product a repeated row for all others; the last operation may read the
        row's other bytes after it has written some.
        """
        op, attention = region.ops[-1], region.attention
        again = [operand(op, n) for n in kernel_of(op).again]
        again += attention.inputs[:3] if attention else ()
        again += [n for o in region.ops for n in repeated(self.graph, o)]
        where = [self.em.where.get(str(n)) for n in again]
        if any(at is not None and at.buffer == target.buffer for at in where):
            return False
        read = [self.em.where.get(n) for n in activations(self.graph, op)]
        return all(at is None or at.buffer != target.buffer or at == target for at in read)

    def _permuted(self, op: Op, index: int) -> Loc | None:
        """The buffer of a value whose rows are only reordered here and read by no one after."""
        name = str(op.inputs[0])
        loc = self.em.where.get(name)
        rows = self.em.values[name].type.shape[0]
        if loc is None or loc.buffer is None or name in self.graph.inputs or rows >= 65535:
            return None
        whole = loc.start == Expr() and sorted(op.attrs["indices"]) == list(range(rows))
        free = self.read_until[loc.buffer] <= index
        kind = self.em.buffers[loc.buffer].kind
        return loc if whole and free and kind != "output" else None

    def _merged(self, region: Region, index: int) -> Loc | None:
        """Patches lie over the image that dies here, or over the rows that it is made of: a row of the
        grid on the bytes that it consumed."""
        if stays(self.em, region.target) or not reads_patches(self.em, region):
            return None
        read = [n for o in region.ops for n in activations(self.graph, o) if n in self.em.where]
        for name in sources(self.em, region):
            loc = self.em.where[name]
            alike = [n for n in read if n != name and self.em.where[n].buffer == loc.buffer]
            if alike or not self._dies_whole(name, index):
                continue
            if may_lie_over(self.em, region, name):
                row_bytes = self.em.row_bytes(region.target)
                return Loc(Expr(), row_bytes, row_bytes, loc.buffer)
        return None

    def _dies_whole(self, name: str, index: int) -> bool:
        """Whether a value has a buffer by itself that nobody reads after region `index`."""
        loc = self.em.where[name]
        if loc.buffer is None or loc.start != Expr() or loc.stride != loc.row_bytes:
            return False
        free = self.em.buffers[loc.buffer].kind == "activation" and name not in self.graph.inputs
        return free and max(self.last.get(name, -1), self.read_until[loc.buffer]) <= index

    def _trailing(self, region: Region, index: int) -> Loc | None:
        """The place of an input that dies here, where a strip region's target may be written line by line."""
        if by_patches(self.graph, region.ops[-1]) or reads_patches(self.em, region):
            return None
        seen = line_graph(self.em, region.ops, region.copied)
        strips = None
        size, line = self._line_bytes(seen, -1)
        for name in seen.names[: seen.flow.sources]:
            loc = self.em.where.get(name)
            if (
                loc is None
                or loc.buffer is None
                or loc.start != Expr()
                or loc.stride != loc.row_bytes
            ):
                continue
            kind = self.em.buffers[loc.buffer].kind
            free = self.last.get(name, -1) <= index and self.read_until[loc.buffer] <= index
            if kind != "activation" or not free or self.em.values[name].type.size_bytes < size:
                continue
            strips = strips or Strips.of(seen.flow, 1)
            if self._stays_behind(region, seen, strips, loc.buffer, line):
                row_bytes = self.em.row_bytes(region.target)
                return Loc(Expr(), row_bytes, row_bytes, loc.buffer)
        return None

    def _stays_behind(
        self, region: Region, seen: LineGraph, strips: Strips, buffer: str, line: int
    ) -> bool:
        """Whether no reader wants bytes of `buffer` that the target has overwritten."""
        inputs = dict.fromkeys(n for o in region.ops for n in activations(self.graph, o))
        there = [
            n for n in inputs
            if n in self.em.where and self.em.where[n].buffer == buffer
        ]  # fmt: skip
        for name in there:
            loc = self.em.where[name]
            if name not in seen.names or loc.start != Expr() or loc.stride != loc.row_bytes:
                return False
            images = [k for k in (seen.at.get(name), seen.copies.get(name)) if k is not None]
            lines = [self._line_bytes(seen, k)[1] for k in images]
            if not all(
                trails(seen, strips, k, line, n) for k, n in zip(images, lines, strict=True)
            ):
                return False
        return True

    def _line_bytes(self, seen: LineGraph, k: int) -> tuple[int, int]:
        """Bytes of image k, and of a line of it."""
        size = self.em.values[seen.names[k]].type.size_bytes
        return size, size // seen.flow.heights[k]
