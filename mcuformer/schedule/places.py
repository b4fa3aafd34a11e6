"""Where rows lie, and which rows a call works on."""

from __future__ import annotations

from mcuformer.program.buffers import Addr, Span
from mcuformer.program.expressions import Expr
from mcuformer.util.speed import record


@record(frozen=True, slots=True)
class Loc:
    """Where the rows of a value lie: row i at `start + i * stride` of a buffer or of a constant.

    Stride 0: one row, repeated.
    The constant IMAGE is the caller's image in flash.
    """

    start: Expr
    stride: int
    row_bytes: int
    buffer: str | None = None
    constant: str | None = None

    def at(self, row: Expr | int, byte: int = 0) -> Loc:
        if isinstance(row, int):
            start = self.start + (row * self.stride + byte)
        else:
            start = self.start + row * self.stride
            start = start + byte if byte else start
        return Loc(start, self.stride, self.row_bytes, self.buffer, self.constant)

    def columns(self, byte: int, row_bytes: int) -> Loc:
        return Loc(self.start + byte, self.stride, row_bytes, self.buffer, self.constant)

    @property
    def addr(self) -> Addr:
        return Addr(self.buffer, self.start, self.constant)

    def span(self, rows: Expr) -> tuple[Span, ...]:
        if self.buffer is None:
            return ()
        if not self.stride:
            return (Span(self.buffer, self.start, self.row_bytes, self.row_bytes, Expr(1)),)
        return (Span(self.buffer, self.start, self.stride, self.row_bytes, rows),)


@record(frozen=True, slots=True)
class Rows:
    """A tile: `count` rows from `first`; `full` and `tail` are the row counts of whole and last tiles.

    `total` rows are cut into tiles; 0 where the count of rows is no choice.
    """

    first: Expr
    count: Expr
    full: int
    tail: int
    total: int = 0

    @staticmethod
    def all(n: int) -> Rows:
        return Rows(Expr(), Expr(n), n, n)

    @staticmethod
    def tile(name: str, total: int, step: int) -> Rows:
        full = min(step, total)
        return Rows(
            Expr(0, ((name, 1),)), Expr(0, ((f"{name}_n", 1),)), full, total % step or full, total
        )

    @staticmethod
    def tile_from_the_end(name: str, total: int, step: int) -> Rows:
        """The same tiles, the last rows first; the first rows are the short tile."""
        forth = Rows.tile(name, total, step)
        first = Expr(total, ((name, -1), (f"{name}_n", -1)))
        return Rows(first, forth.count, forth.full, forth.tail, total)
