"""The images of a region that runs in strips of lines: what is read, what is made, who reads what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mcuformer.ir.graph import Op
from mcuformer.kernels.lines import Lines
from mcuformer.operators.table import INT_OPS, kernel_of, operand
from mcuformer.schedule.images import (
    LINES,
    KnownValues,
    alike,
    beside,
    image_operand,
    joins_channels,
    line_counts,
)
from mcuformer.schedule.ways.strips import Flow, Reader
from mcuformer.util.speed import record


@record(frozen=True, slots=True, eq=False)
class LineGraph:
    """`names[k]`: the value that is image k, `ops[k]`: what makes it, None where it is read.

    `at`: the image that a value is; `copies`: the image that is a copy of a value, some lines of it
    at a time, for those readers that want lines which the target has overwritten. `also`: images that
    are made whole; they grow with the target, as if it read them.
    """

    names: tuple[str, ...]
    ops: tuple[Op | None, ...]
    at: dict[str, int]
    copies: dict[str, int]
    flow: Flow
    also: tuple[str, ...] = ()

    def read_by(self, op: Op, name: str) -> int | None:
        """The image where `op` finds `name`; None: one row, or a constant."""
        if name in self.copies and wants_copy(op, name, op is self.ops[-1]):
            return self.copies[name]
        return self.at.get(name)


def wants_copy(op: Op, name: str, last: bool) -> bool:
    """Whether `op` may read lines of `name` after the target's line is written there; `last`: it
    makes the target."""
    if op.kind in LINES:
        return name == image_operand(op)
    if joins_channels(op):
        return last  # by schedule/ways/join.py, which copies part after part
    return last and any(operand(op, n) == name for n in kernel_of(op).again)


def line_graph(
    graph: KnownValues,
    ops: Sequence[Op],
    copied: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    also: Sequence[str] = (),
) -> LineGraph:
    """Of the operations of a region, in order; `counts`: lines of their values, where they are known."""
    made = [op for op in ops if op.kind != "reshape"]
    counts = line_counts(ops, graph) if counts is None else counts
    at: dict[str, int] = {}
    names: list[str] = []
    inside = {op.outputs[0] for op in ops}
    copies: dict[str, int] = {}
    for op in made:
        for name, _ in reads(graph, op):
            wanted = copies if name in copied and wants_copy(op, name, op is made[-1]) else at
            if name not in inside and name not in wanted:
                wanted[name] = len(names)
                names.append(name)
    sources = len(names)
    for op in ops:
        if op.kind == "reshape":
            at[op.outputs[0]] = at[str(op.inputs[0])]
        else:
            at[op.outputs[0]] = len(names)
            names.append(op.outputs[0])
    readers: list[list[Reader]] = [[] for _ in names]
    for k, op in enumerate(made, sources):
        for name, lines in reads(graph, op):
            copy = name in copies and wants_copy(op, name, op is made[-1])
            reader = k, lines or Lines.same(counts[op.outputs[0]])
            if reader not in (found := readers[copies[name] if copy else at[name]]):
                found.append(reader)
    for name in also:
        pace = Lines.paced(counts[names[-1]], counts[name])
        readers[at[name]].append((len(names) - 1, pace))
    flow = Flow(tuple(counts[n] for n in names), tuple(map(tuple, readers)), sources)
    return LineGraph(tuple(names), (*[None] * sources, *made), at, copies, flow, tuple(also))


def reads(graph: KnownValues, op: Op) -> Iterator[tuple[str, Lines | None]]:
    """The images that an operation reads, and which lines; None: those of its result."""
    if op.kind in LINES:
        yield image_operand(op), INT_OPS[op.kind].lines(op, graph)
        for name in beside(op, graph):
            yield name, None
    else:
        for name in alike(op, graph):
            yield name, None
