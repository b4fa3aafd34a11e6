"""Hypothesis draws Programs that are correct by construction: every read finds written bytes.

They have several inputs, read or not, and several outputs, which later calls may read and rewrite.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from program_maker import Maker, rows

from mcuformer.program.buffers import Buffer, Span
from mcuformer.program.calls import Loop, Step
from mcuformer.program.expressions import Expr, var
from mcuformer.program.program import Program


@dataclass
class Value:
    """`count` rows of `width` bytes in a buffer of its own."""

    buffer: Buffer
    count: int
    width: int

    def tile(self) -> Span:
        return rows(self.buffer, self.width, var("t"), var("t_n"))

    def whole(self) -> Span:
        return rows(self.buffer, self.width, 0, self.count)

    def head(self, heads: int) -> Span:
        d = self.width // heads
        return Span(self.buffer.name, var("h") * d, self.width, d, Expr(self.count))


@dataclass
class Author:
    """Writes one random program; `values` are those that may still be read, `sources` its inputs."""

    draw: st.DrawFn
    maker: Maker = field(default_factory=Maker)
    steps: list[Step] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    sources: list[Value] = field(default_factory=list)

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def any_value(self, width: int | None = None) -> Value | None:
        fitting = [v for v in self.values if width is None or v.width % width == 0]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def new(self, count: int, width: int, kind: str = "activation") -> Value:
        align = self.draw(st.sampled_from((1, 4, 8)))
        name = f"{kind}{len(self.maker.buffers)}"
        return Value(self.maker.buffer(name, count * width, kind, align), count, width)

    def scratch(self) -> list[Buffer]:
        return [self.new(1, self.number(1, 40), "scratch").buffer] if self.number(0, 2) == 0 else []

    def plain(self) -> None:
        """Whole values in, a new whole value out."""
        operands = [v for v in (self.any_value(), self.any_value()) if v]
        made = self.new(self.number(1, 9), self.number(1, 12))
        self.steps.append(
            self.maker.call(
                "plain", 0, [v.whole() for v in operands], [made.whole()], self.scratch()
            )
        )
        self.values.append(made)

    def tiles(self) -> None:
        """Row tiles through one or two tile buffers into a new value, or back onto the operand."""
        source = self.any_value()
        if source is None:
            self.plain()
            return
        step = self.number(1, source.count)
        between = self.new(step, self.number(1, 12))
        tile = rows(between.buffer, between.width, 0, var("t_n"))
        body: list[Step] = [self.maker.call("first", 1, [source.tile()], [tile], self.scratch())]
        if self.number(0, 1):
            made, inplace = source, True
        else:
            made, inplace = self.new(source.count, self.number(1, 12)), False
            self.values.append(made)
        more = [source.tile()] if inplace else []
        if self.number(0, 2) == 0:  # an operand that every tile reads whole
            other = self.any_value()
            if other and other is not source and other is not made:
                more.append(other.whole())
        body.append(
            self.maker.call("second", 2, [tile, *more], [made.tile()], self.scratch(), inplace)
        )
        self.steps.append(Loop("t", source.count, step, tuple(body)))

    def heads(self) -> None:
        """Columns of one value into the same columns of another, or onto themselves."""
        source = self.any_value(2)
        if source is None:
            self.plain()
            return
        mine = source.head(2)
        made = source if self.number(0, 1) else self.new(source.count, source.width)
        if made is not source:
            self.values.append(made)
        call = self.maker.call("head", 3, [mine], [made.head(2)], self.scratch(), made is source)
        self.steps.append(Loop("h", 2, 1, (call,)))

    def accumulate(self) -> None:
        """A first write, then a loop that reads and rewrites the sum."""
        source = self.any_value()
        if source is None:
            self.plain()
            return
        total = self.new(1, self.number(1, 12))
        self.steps.append(self.maker.call("init", 4, [], [total.whole()]))
        call = self.maker.call("add", 4, [source.tile(), total.whole()], [total.whole()], [], True)
        self.steps.append(Loop("t", source.count, self.number(1, source.count), (call,)))
        self.values.append(total)

    def rewrite(self) -> None:
        """The bytes of a value whose content is no longer wanted, written anew in row tiles."""
        old = self.any_value()
        if old is None:
            self.plain()
            return
        call = self.maker.call("rewrite", 5, [], [old.tile()], self.scratch())
        self.steps.append(Loop("t", old.count, self.number(1, old.count), (call,)))

    def inputs(self) -> None:
        """Values that the caller wrote before the first call."""
        for _ in range(self.number(0, 3)):
            self.sources.append(self.new(self.number(1, 9), self.number(1, 12), "input"))
        self.values += self.sources

    def finish(self) -> Program:
        output = self.new(1, self.number(1, 12), "output")
        last = [v.whole() for v in self.values if self.number(0, 3) == 0]
        self.steps.append(self.maker.call("last", 6, last, [output.whole()]))
        for i in range(7):
            self.maker.layer(f"layer{i}", "any")
        more = [v.buffer.name for v in self.values if self.number(0, 3) == 0]
        first, *others = [v.buffer.name for v in self.sources] or [None]
        return self.maker.program(self.steps, output.buffer.name, first, more, others)


@st.composite
def programs(draw: st.DrawFn, most: int = 12) -> Program:
    author = Author(draw)
    author.inputs()
    author.plain()
    kinds = (author.plain, author.tiles, author.heads, author.accumulate, author.rewrite)
    for _ in range(draw(st.integers(1, most))):
        draw(st.sampled_from(kinds))()
    return author.finish()
