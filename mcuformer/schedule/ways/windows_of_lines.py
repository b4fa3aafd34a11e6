"""Where the images of a strip region lie: windows of lines, and what is kept of them between two steps.

Two ways to keep the lines that the next step reads again. *Aside*: in a buffer of their own, so that
the windows are free between two steps; best for long chains and high strips. *In place*: they slide
to the top of their window, half the copies and no line twice; and what one operation alone reads may
be overwritten by its result: of row-wise operations row by row, of a depthwise convolution behind
the last tap that any later output reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcuformer.ir.graph import Op
from mcuformer.kernels import elementwise
from mcuformer.operators.table import INT_OPS
from mcuformer.program.buffers import Span
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.images import LINES
from mcuformer.schedule.places import Loc
from mcuformer.schedule.tasks import Task
from mcuformer.schedule.ways.flow import LineGraph
from mcuformer.schedule.ways.homes import found_homes, shift
from mcuformer.schedule.ways.strips import Strips


@dataclass(slots=True)
class Windows:
    """`at[k]`: the window of image k, lines from its top on; None: it is whole, or lies in another.

    `homes[k]`: the image in whose window image k lies. `kept[k]`: lines of image k between steps.
    """

    em: TaskEmitter
    images: LineGraph
    strips: Strips
    in_place: bool
    at: list[Loc | None] = field(default_factory=list)
    homes: dict[int, int] = field(default_factory=dict)
    kept: dict[int, Loc] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.in_place:
            self.homes = found_homes(self.em, self.images, self.strips.overlap, self.is_whole)
        for k in range(len(self.images.names)):
            own = not self.is_whole(k) and k not in self.homes
            self.at.append(self._window(k) if own else None)
            overlap = self.strips.overlap(k)
            if own and overlap and not self.in_place and self._is_kept(k):
                self.kept[k] = self._buffer(k, overlap, "kept")

    def is_whole(self, k: int) -> bool:
        """Whether image k is the target, or lies somewhere in all its lines."""
        name = self.images.names[k]
        if k == len(self.images.names) - 1 or name in self.images.also:
            return True
        source = self.images.ops[k] is None and self.images.copies.get(name) != k
        return source and name in self.em.where

    def line_bytes(self, k: int) -> int:
        return self.em.values[self.images.names[k]].type.size_bytes // self.images.flow.heights[k]

    def _window(self, k: int) -> Loc:
        """Room in front for the result of a depthwise convolution that lies in it."""
        lines = max(
            (self.strips.made(k, i)[1] - self.top(k, i) for i in self._used(k)),
            default=0,
        )
        front = max(
            (shift(self.em, self.images.names[r], op) for r, op in self._inside(k)), default=0
        )
        loc = self._buffer(k, lines, "lines", front)
        return Loc(Expr(front), loc.stride, loc.row_bytes, loc.buffer)

    def _used(self, k: int) -> Iterator[int]:
        """The steps in which some lines of image k are there."""
        for i in range(self.strips.steps):
            (first, end), kept = self.strips.made(k, i), self.strips.kept(k, i)[0]
            if min(first, kept) < end:
                yield i

    def _buffer(self, k: int, lines: int, what: str, front: int = 0) -> Loc:
        """Room for some lines of image k."""
        line = self.line_bytes(k)
        name = self.em.buffer(f"{self.images.names[k]}.{what}", lines * line + front)
        return Loc(Expr(), line, line, name)

    def _inside(self, k: int) -> list[tuple[int, Op]]:
        """The images that convolutions write over image k."""
        found = [(r, self.images.ops[r]) for r, j in self.homes.items() if j == k]
        return [(r, op) for r, op in found if op is not None and op.kind in LINES]

    def top(self, k: int, i: int) -> int:
        """The line of image k at the top of its window in step i."""
        return self.strips.top_kept(k, i) if self._inside(k) else self.strips.top(k, i)

    def _is_kept(self, k: int) -> bool:
        """Whether any step reads lines of image k again: near its end none may be left to read."""
        kept = (self.strips.kept(k, i) for i in range(1, self.strips.steps))
        return any(end > first for first, end in kept)

    def place(self, k: int, i: int) -> Loc:
        """Where the first line of image k is that step i makes."""
        first = self.strips.made(k, i)[0]
        j = self.homes.get(k)
        if j is None:
            window = self.at[k]
            assert window is not None
            return window.at(first - self.top(k, i))
        op = self.images.ops[k]
        assert op is not None
        if op.kind not in LINES:
            return self.place(j, i)
        window, read = self.at[j], INT_OPS[op.kind].lines(op, self.em).reads_from(first)
        assert window is not None
        at = window.at(read - self.top(j, i))
        front = shift(self.em, self.images.names[k], op)
        return Loc(at.start + -front, at.stride, at.row_bytes, at.buffer)

    def lines(self, k: int, line: int, i: int) -> Loc:
        """From line `line` on of an image that is not whole, in step i."""
        if k in self.homes:
            return self.place(k, i).at(line - self.strips.made(k, i)[0])
        window = self.at[k]
        assert window is not None
        return window.at(line - self.top(k, i))

    def spans(self, k: int, first: int, end: int, i: int) -> tuple[Span, ...]:
        """The bytes of some lines: those from the step before apart, for they live otherwise."""
        border = min(end, max(first, self.strips.made(k, i)[0])) if self.in_place else end
        parts = [(a, b) for a, b in ((first, border), (border, end)) if b > a]
        return tuple(self._piece(k, self.lines(k, a, i), b - a) for a, b in parts)

    def _piece(self, k: int, at: Loc, lines: int) -> Span:
        size = lines * self.line_bytes(k)
        return Span(str(at.buffer), at.start, size, size, Expr(1))

    def written_over(self, k: int, y: Loc, count: int) -> tuple[Span, ...] | None:
        """The bytes written where a depthwise convolution writes over what it reads; None elsewhere.

        One piece, for what is read and written in step is no row: an output pixel lies where the first
        tap of it was read, which no later pixel of its channels reads.
        """
        op = self.images.ops[k]
        if k not in self.homes or op is None or op.kind not in LINES:
            return None
        return (self._piece(k, y, count),)

    def last_use(self, k: int) -> int:
        """The operation behind which the window of image k may be moved."""
        readers = self.images.flow.readers[k]
        inside = [self.last_use(r) for r, j in self.homes.items() if j == k]
        return max([readers[-1][0], *inside])

    def restore(self, k: int, i: int) -> Iterator[Task]:
        """The lines of image k that the step before has put aside come first in the window."""
        first, end = self.strips.kept(k, i)
        window = self.at[k]
        if window is not None and end > first and not self.in_place:
            x = self.kept[k].at(first - self.strips.top_kept(k, i))
            yield self.copy(k, x, window.at(first - self.top(k, i)), end - first)

    def save(self, k: int, i: int) -> Iterator[Task]:
        """Lines of image k that the next step wants are put aside, or slide to where it wants them."""
        first, end = self.strips.kept(k, i + 1) if i + 1 < self.strips.steps else (0, 0)
        window = self.at[k]
        if window is None or end == first:
            return
        x = window.at(first - self.top(k, i))
        if not self.in_place:
            y = self.kept[k].at(first - self.strips.top_kept(k, i + 1))
            yield self.copy(k, x, y, end - first)
            return
        y, old = window.at(first - self.top(k, i + 1)), self.strips.made(k, i)[0]
        if x == y:
            return
        border = min(end, max(first, old))
        for a, b in ((first, border), (border, end)):
            if b > a:
                yield self.copy(k, x.at(a - first), y.at(a - first), b - a)

    def copy(self, k: int, x: Loc, y: Loc, lines: int) -> Task:
        """Lines of image k, the first ones first; they count for the layer that reads them first."""
        count, reader = Expr(lines), self.images.ops[self.images.flow.readers[k][0][0]]
        assert reader is not None
        return Task(
            "mcf_copy",
            self.em.layer_ids[reader.name],
            (x, y, x.row_bytes, count),
            x.span(count),
            y.span(count),
            instructions=elementwise.copy_instructions(x.row_bytes, lines),
            overwrites=x.buffer == y.buffer,
        )
