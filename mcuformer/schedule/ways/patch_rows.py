"""Patches of an image in SRAM, or of rows that are made line by line: merging, sub-sampled keys.

A piece is some patches of one row of the grid. Where nothing stands in front, the matrix product
reads them where they lie; else just the piece's pixels are made, all lines of it or fewer, of which
int32 partial sums wait for the last (exact). Where the image dies, the result is written over what
the pieces before have consumed.

    X     [yyyy|....pixels still to be read....]      y: rows of the result, over consumed pixels
    tile       [ph lines of a piece]                  made by a norm from X, or none
    sums       [int32 of a piece]                     where the tile has fewer lines than a patch
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

from mcuformer.ir.graph import Op
from mcuformer.operators.table import ins
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.patch_views import takes_patches
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import TOKENWISE, VIEWS, Choice, Region, activations
from mcuformer.schedule.tasks import Steps, Task
from mcuformer.schedule.ways.conv import whole_convolution
from mcuformer.schedule.ways.embed import (
    PatchGrid,
    add_sums,
    as_linear,
    copy_rows,
    finish_sums,
    line_choices,
)


def reads_patches(em: TaskEmitter, region: Region) -> bool:
    """Whether a region makes patches of an image that lies somewhere, or of rows in front of them."""
    op, before = region.ops[-1], rows_before(region)
    if not takes_patches(op) or op.inputs[0] in em.graph.inputs:
        return False
    if len(region.ops) == 1:
        at = em.where.get(str(op.inputs[0]))
        return at is not None and at.buffer is not None
    return len(before) == len(region.ops) - 2 and all(o.kind in TOKENWISE for o in before)


def rows_before(region: Region) -> tuple[Op, ...]:
    """The operations that make the image's pixels, in front of the view of them."""
    return tuple(op for op in region.ops[:-1] if op.kind not in VIEWS)


def sources(em: TaskEmitter, region: Region) -> Iterator[str]:
    """Materialised values of as many rows as the image has pixels, or the image itself."""
    op = region.ops[-1]
    height, width, _ = em.values[str(op.inputs[0])].type.shape
    if len(region.ops) == 1:
        yield str(op.inputs[0])
    for name in dict.fromkeys(n for o in rows_before(region) for n in activations(em.graph, o)):
        if name in em.where and em.values[name].type.shape[0] == height * width:
            yield name


def may_lie_over(em: TaskEmitter, region: Region, source: str) -> bool:
    """Whether a row of the grid, once made, has room on the bytes of `source` that it consumed."""
    grid, size = PatchGrid.of(em, region.ops[-1]), em.values[source].type.size_bytes
    lines = em.values[str(region.ops[-1].inputs[0])].type.shape[0]
    return grid.across * _patch_bytes(em, region) <= grid.ph * (size // lines)


def _patch_bytes(em: TaskEmitter, region: Region) -> int:
    """Of one patch's result, in [T, N] or [H, W, N]."""
    t = em.values[region.target].type
    return t.size_bytes // prod(t.shape[:-1])


def patch_row_choices(em: TaskEmitter, region: Region) -> Iterator[Choice]:
    """Lines of a patch and patches of a row at a time, most first; before these, all patches at once."""
    op, grid = region.ops[-1], PatchGrid.of(em, region.ops[-1])
    yield Choice("patches", grid.across * grid.down, lines=grid.ph)
    counts = [n for n in range(grid.across, 0, -1) if grid.across % n == 0]
    if not _may_be_cut(em, region, grid):
        counts = counts[:1]
    for lines in line_choices(op):
        for count in counts:
            yield Choice("patches", count, lines=lines)


def _may_be_cut(em: TaskEmitter, region: Region, grid: PatchGrid) -> bool:
    """Whether a part of a row may be finished by itself: tokens only, as whole lines of an image are
    shown; in place where a patch's result is no longer than the patch's own first line."""
    if len(em.values[region.target].type.shape) == 3:
        return False
    target = em.where[region.target].buffer
    under = [n for n in sources(em, region) if em.where[n].buffer == target]
    line = [em.values[n].type.size_bytes for n in under]
    height, width, _ = em.values[str(region.ops[-1].inputs[0])].type.shape
    pw = region.ops[-1].attrs["kernel"][1]
    return all(_patch_bytes(em, region) <= pw * (size // (height * width)) for size in line)


def patches_of_rows(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """All rows of the grid in order, each in pieces of `choice.tile` patches, `choice.lines` lines of
    these at a time; or all of them at once."""
    grid = PatchGrid.of(em, region.ops[-1])
    if choice.tile >= grid.across * grid.down:
        return _at_once(em, region, target)
    count = min(choice.tile, grid.across)
    pieces = _Pieces(em, region, grid, target, min(choice.lines, grid.ph), count)
    body = tuple(pieces.steps())
    if count < grid.across:
        body = (Loop("u", grid.across, count, body, "patches of this row"),)
    return [Loop("t", grid.down, 1, body, f"{region.name}: rows of patches")]


def _at_once(em: TaskEmitter, region: Region, target: Loc) -> Steps:
    """One convolution of the whole image: weights are expanded once."""
    op, before = region.ops[-1], rows_before(region)
    height, width, _ = em.values[str(op.inputs[0])].type.shape
    x, steps = em.where.get(str(op.inputs[0])), Steps()
    if before:
        made, rows = before[-1].outputs[0], Rows.all(height * width)
        pixels = em.rows_buffer(made, rows)
        steps += em.chain(before, {}, rows, {made: pixels})
        line = width * pixels.row_bytes
        x = replace(pixels, stride=line, row_bytes=line)
    assert x is not None
    rows = Rows.all(em.values[region.target].type.shape[0])
    if x.buffer != target.buffer:
        return [*steps, whole_convolution(em, op, x, target, rows)]
    aside = em.rows_buffer(region.target, rows)
    call = whole_convolution(em, op, x, aside, rows)
    return [*steps, replace(call, shown=None), copy_rows(em, op, aside, target, rows)]


@dataclass(slots=True)
class _Pieces:
    """Emits the calls for `count` patches of a row, `lines` lines of them at a time."""

    em: TaskEmitter
    region: Region
    grid: PatchGrid
    target: Loc
    lines: int
    count: int
    op: Op = field(init=False)
    tile: Loc | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        size = self.count * self.grid.segment
        if self.before:
            buffer = self.em.buffer(f"{self.region.name}.lines", self.lines * size)
            rows = self.em.row_bytes(self.before[-1].outputs[0])
            self.tile = Loc(Expr(), rows, rows, buffer)
        stride = size if self.before else self.grid.line
        self.op = as_linear(self.region.ops[-1], self.grid, stride)

    @property
    def before(self) -> tuple[Op, ...]:
        return rows_before(self.region)

    @property
    def first(self) -> Expr:
        """The first patch, of its row."""
        return var("u") if self.count < self.grid.across else Expr()

    @property
    def rows(self) -> Rows:
        """The patches among all."""
        at = var("t") * self.grid.across + self.first
        return Rows(at, Expr(self.count), self.count, self.count)

    def steps(self) -> Steps:
        y, res = self._pixels(self.region.target, self.target), self._residual()
        if self.lines < self.grid.ph:
            return self._sums(y, res)
        x, seen = self._read(Expr())
        steps = self._made(Expr())
        if x.buffer != y.buffer:
            return [*steps, self._product(x, seen, res, y, self._shown(y))]
        n = y.row_bytes
        aside = Loc(Expr(), n, n, self.em.buffer(f"{self.op.name}.row", self.count * n))
        copy = copy_rows(self.em, self.op, aside, y, self.rows)
        return [self._product(x, seen, res, aside, None), replace(copy, shown=self._shown(y))]

    def _product(
        self, x: Loc, seen: tuple[Span, ...], res: Loc | None, y: Loc,
        shown: tuple[str, Loc, Rows, int] | None,
    ) -> Task:  # fmt: skip
        reads = seen + (res.span(self.rows.count) if res else ())
        return replace(self.em.apply(self.op, [x, res], y, self.rows, reads), shown=shown)

    def _sums(self, y: Loc, res: Loc | None) -> Steps:
        n = 4 * self.em.values[self.region.target].type.shape[-1]
        acc = Loc(Expr(), n, n, self.em.buffer(f"{self.op.name}.sums", n * self.count))

        def add(line: Expr) -> Steps:
            x, seen = self._read(line)
            added = add_sums(self.em, self.op, self.lines, line, x, seen, acc, self.rows)
            return [*self._made(line), added]

        rest = tuple(add(var("l") + self.lines))
        last = finish_sums(self.em, self.op, self.lines, acc, res, y, self.rows)
        return [
            *add(Expr()),
            Loop("l", self.grid.ph - self.lines, self.lines, rest, "their other lines"),
            replace(last, shown=self._shown(y)),
        ]

    def _read(self, line: Expr) -> tuple[Loc, tuple[Span, ...]]:
        """Where the pixels of the piece lie from `line` of the row of patches on, and their bytes."""
        size, segment = self.count * self.grid.segment, self.grid.segment
        if self.tile is not None:
            x, step = replace(self.tile, stride=segment, row_bytes=segment), size
        else:
            image, step = self.em.where[str(self.op.inputs[0])], self.grid.line
            lines = var("t") * self.grid.ph + line
            start = image.start + lines * step + self.first * segment
            x = Loc(start, segment, segment, image.buffer)
        return x, (Span(str(x.buffer), x.start, step, size, Expr(self.lines)),)

    def _made(self, line: Expr) -> Steps:
        """The operations in front, on the pixels of these lines: in one go where they are whole lines."""
        if self.tile is None:
            return []
        _, width, _ = self.em.values[str(self.op.inputs[0])].type.shape
        pw = self.op.attrs["kernel"][1]
        first = (var("t") * self.grid.ph + line) * width + self.first * pw
        count = self.count * pw
        if count == width or self.lines == 1:
            return self._chain(first, count * self.lines, self.tile)
        at = self.tile.at(var("m") * count)
        body = self._chain(first + var("m") * width, count, at)
        return [Loop("m", self.lines, 1, tuple(body), "line by line")]

    def _chain(self, first: Expr, count: int, at: Loc) -> Steps:
        """Shown where all pixels are made: those beyond the last whole patch are not."""
        rows = Rows(first, Expr(count), count, count)
        tasks = self.em.chain(self.before, {}, rows, {self.before[-1].outputs[0]: at})
        height, width, _ = self.em.values[str(self.op.inputs[0])].type.shape
        ph, pw = self.op.attrs["kernel"]
        whole = height % ph == 0 and width % pw == 0
        return [task if whole else replace(task, shown=None) for task in tasks]

    def _pixels(self, value: str, at: Loc) -> Loc:
        """The piece's patches of a value [T, N] or [H, W, N] that lies at `at`."""
        if len(self.em.values[value].type.shape) == 3:
            n = at.row_bytes // self.grid.across
            at = replace(at, stride=n, row_bytes=n)
        return at.at(self.rows.first)

    def _residual(self) -> Loc | None:
        name = ins(self.op).res
        if name is None or len(self.em.values[name].type.shape) < 3:
            return self.em.location(name, {}, self.rows)
        return self._pixels(name, self.em.whole(name))

    def _shown(self, y: Loc) -> tuple[str, Loc, Rows, int]:
        """Tokens, or the line of an image that they are."""
        if len(self.em.values[self.region.target].type.shape) == 3:
            return self.region.target, self.target.at(var("t")), Rows(var("t"), Expr(1), 1, 1), 0
        return self.region.target, y, self.rows, 0
