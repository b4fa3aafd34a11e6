"""Convolutions, pools, resizes and the row-wise operations between them, a strip of lines at a time.

Of every image inside the region (and of the model's input in `bands` mode) only a window exists: the
lines that its readers still need. `strips.py` says which lines those are, `flow.py` who the readers
are. Between two steps only the few lines that the next strip reads again lie aside. One strip of
all lines is the schedule that keeps whole images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mcuformer.ir.graph import Op
from mcuformer.kernels import conv
from mcuformer.operators.table import kernel_of, operand, read_places
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter, overwrites
from mcuformer.schedule.images import LINES, joins_channels
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import SCRATCH, Job, Steps, Task
from mcuformer.schedule.ways.embed import read_lines
from mcuformer.schedule.ways.flow import LineGraph, line_graph
from mcuformer.schedule.ways.join import copy, places
from mcuformer.schedule.ways.shown import shown
from mcuformer.schedule.ways.strips import Strips, line_choices
from mcuformer.schedule.ways.windows_of_lines import Windows

IN_PLACE = "in place"  # the schedule that keeps lines where they are (windows_of_lines.py)


def strip_choices(em: TaskEmitter, region: Region) -> list[int]:
    """Lines of a strip of the region's target, whole images first."""
    return line_choices(line_graph(em, region.ops, region.copied, also=region.also).flow)


def schedules_of(region: Region) -> tuple[str, ...]:
    """How lines may be kept: a chain of convolutions alone keeps them aside."""
    mixed = any(op.kind not in LINES for op in region.ops)
    return ("rows", IN_PLACE) if mixed else ("rows",)


def convolve(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """All strips in order: the first and the last ones by themselves, a loop over those between."""
    seen = line_graph(em, region.ops, region.copied, also=region.also)
    strips = Strips.of(seen.flow, choice.lines)
    windows = Windows(em, seen, strips, choice.schedule == IN_PLACE)
    return in_strips(StripSteps(em, seen, strips, target, windows), region.name)


def in_strips(made: StripSteps, name: str) -> Steps:
    """The steps, those that are alike in one loop."""
    made.em.sweeps.append(
        partial(shown, made.em, made.images, made.strips, made.windows, made.target)
    )
    steady = made.strips.steady()
    steps: Steps = []
    for i in range(made.strips.steps):
        if i not in steady:
            steps += made.step(i, Expr())
        elif i == steady.start:
            period = range(i, i + made.strips.period)
            body = tuple(task for j in period for task in made.step(j, var("t")))
            count = len(steady) // made.strips.period
            steps.append(Loop("t", count, 1, body, f"{name}: strips of lines"))
    return steps


def whole_convolution(em: TaskEmitter, op: Op, x: Loc, y: Loc, rows: Rows) -> Task:
    """All lines of an image that lies at x, to all `rows` of the result."""
    name = operand(op, "res")
    res = None if name is None else em.whole(name)
    job, lines = Job(op, rows.full, decided_on=rows.full), Expr(conv.output_lines(op, em))
    em.made.append(job)
    read = x.span(Expr(em.values[str(op.inputs[0])].type.shape[0]))
    return Task(
        "",
        em.layer_ids[op.name],
        (x.addr, Expr(), "NULL" if res is None else res.addr, y.addr, Expr(), lines, SCRATCH),
        (*read, *(res.span(rows.count) if res else ())),
        y.span(rows.count),
        job,
        job,
        job,
        (op.outputs[0], y, rows, 0),
    )


@dataclass(slots=True)
class StripSteps:
    """Emits the calls of a step. `moved` says how many periods further down it really is."""

    em: TaskEmitter
    images: LineGraph
    strips: Strips
    target: Loc
    windows: Windows
    shared: dict[str, Job] = field(default_factory=dict)

    def step(self, i: int, moved: Expr) -> Iterator[Task]:
        readers, windows = self.images.flow.readers, self.windows
        for k, op in enumerate(self.images.ops):
            if op is None:
                continue
            for j in range(k):
                if readers[j][0][0] == k:
                    yield from windows.restore(j, i)
                    yield from self._fetch(j, i, moved)
            yield from self._make(k, op, i, moved)
            for j in range(k):
                if windows.last_use(j) == k:
                    yield from windows.save(j, i)

    def _fetch(self, k: int, i: int, moved: Expr) -> Iterator[Task]:
        """The lines of the model's input, or of what is copied, that this step wants."""
        first, end = self.strips.made(k, i)
        name = self.images.names[k]
        if self.images.ops[k] is not None or self.windows.is_whole(k) or end == first:
            return
        at = self.windows.place(k, i)
        line = Expr(first) + moved * self.strips.per_period[k]
        if name in self.em.where:
            yield self.windows.copy(k, self._whole(k, line), at, end - first)
        else:
            op = next(op for op in self.images.ops if op is not None)
            yield read_lines(self.em, op, at, line, end - first, at.stride)

    def _make(self, k: int, op: Op, i: int, moved: Expr) -> Iterator[Task]:
        """The lines of image k that this step wants."""
        first, end = self.strips.made(k, i)
        if end == first:
            return
        line = Expr(first) + moved * self.strips.per_period[k]
        y, rows = self.output(k, i, line, end - first)
        if joins_channels(op):
            yield from self._join(k, op, i, moved, y, rows)
            return
        make = self._convolve if op.kind in LINES else self._rowwise
        yield make(k, op, i, moved, y, rows)

    def _convolve(self, k: int, op: Op, i: int, moved: Expr, y: Loc, rows: Rows) -> Task:
        first, end = self.strips.made(k, i)
        line, count = Expr(first) + moved * self.strips.per_period[k], end - first
        x, x_line, read = self._input(k, op, i, moved)
        kernel = kernel_of(op)
        names = [operand(op, n) for n in kernel.reads[1:]]
        others = [self._lines(op, name, k, i, moved, rows) for name in names]
        shared = self._shared(k, op)
        job = Job(op, rows.full, decided_on=shared.rows)
        scratch = kernel.scratch_bytes is not None
        over = self.windows.written_over(k, y, count)
        return Task(
            "",
            self.em.layer_ids[op.name],
            (
                x.addr,
                x_line,
                *("NULL" if at is None else at.addr for at in others),
                y.addr,
                line,
                Expr(count),
                *((SCRATCH,) if scratch else ()),
            ),
            (*read, *self._read(op, names, others, k, i, rows)),
            over or y.span(rows.count),
            job,
            shared if scratch else None,
            job,
            (op.outputs[0], y, rows, 0),
            overwrites=over is not None or overwrites(kernel, [x, *others], y),
        )

    def _rowwise(self, k: int, op: Op, i: int, moved: Expr, y: Loc, rows: Rows) -> Task:
        names = [op.operand(place) for place in read_places(op)]
        operands = [self._lines(op, name, k, i, moved, rows) for name in names]
        reads = self._read(op, names, operands, k, i, rows)
        return self.em.apply(op, operands, y, rows, reads, self._shared(k, op))

    def _join(self, k: int, op: Op, i: int, moved: Expr, y: Loc, rows: Rows) -> Iterator[Task]:
        """The lines of every part into their columns."""
        for name, to in places(self.em, op, y):
            x, size = self._lines(op, name, k, i, moved, rows), rows.full * to.row_bytes
            assert x is not None
            shown = op.outputs[0], to, rows, to.start.const - y.start.const
            task = copy(self.em.layer_ids[op.name], x, to, size, shown)
            yield replace(task, reads=tuple(self._read(op, [name], [x], k, i, rows)))

    def _input(self, k: int, op: Op, i: int, moved: Expr) -> tuple[Loc, Expr, tuple[Span, ...]]:
        """Where the image lies that `op` reads some lines of, the line that lies there, and the bytes read."""
        name = str(operand(op, kernel_of(op).reads[0]))
        j = self.images.read_by(op, name)
        assert j is not None
        reader = next(r for r in self.images.flow.readers[j] if r[0] == k)
        first, end = self.strips.read(j, reader, i)
        line = Expr(first) + moved * self.strips.per_period[j]
        if self.windows.is_whole(j):
            read = self._whole(j, line).span(Expr(end - first)) if end > first else ()
            return self._whole(j, Expr()), Expr(), read
        in_other = j in self.windows.homes
        top = self.strips.made(j, i)[0] if in_other else self.windows.top(j, i)
        x = self.windows.lines(j, top, i)
        return (
            x,
            Expr(top) + moved * self.strips.per_period[j],
            self.windows.spans(j, first, end, i),
        )

    def _read(
        self,
        op: Op,
        names: Sequence[str | None],
        operands: Sequence[Loc | None],
        k: int,
        i: int,
        rows: Rows,
    ) -> list[Span]:
        """The bytes of the operands' rows; lines in windows by their age."""
        found: list[Span] = []
        for name, at in zip(names, operands, strict=True):
            if name is None or at is None:
                continue
            j = self.images.read_by(op, name)
            if j is None or self.windows.is_whole(j) or self.windows.homes.get(k) == j:
                found += at.span(rows.count)
            else:
                found += self.windows.spans(j, *self.strips.made(k, i), i)
        return found

    def _whole(self, k: int, line: Expr) -> Loc:
        """From line `line` on of an image that lies somewhere whole."""
        at, height = self.em.where[self.images.names[k]], self.images.flow.heights[k]
        rows = self.em.values[self.images.names[k]].type.shape[0] // height
        size = self.windows.line_bytes(k)
        return Loc(at.start + line * (rows * at.stride), size, size, at.buffer, at.constant)

    def output(self, k: int, i: int, line: Expr, count: int) -> tuple[Loc, Rows]:
        """Where the lines go, and which rows of the value they are."""
        name = self.images.names[k]
        per = self._per_line(name, k)
        rows = Rows(line * per, Expr(count * per), count * per, count * per)
        if self.windows.is_whole(k):
            whole = self.em.where[name] if name in self.images.also else self.target
            return whole.at(rows.first), rows
        return self._as_rows(name, self.windows.place(k, i)), rows

    def _per_line(self, name: str, k: int) -> int:
        """Rows of the value that are a line of image k: pixels where it is tokens."""
        return self.em.values[name].type.shape[0] // self.images.flow.heights[k]

    def _as_rows(self, name: str, at: Loc) -> Loc:
        size = self.em.row_bytes(name)
        return Loc(at.start, size, size, at.buffer, at.constant)

    def _lines(
        self, op: Op, name: str | None, k: int, i: int, moved: Expr, rows: Rows
    ) -> Loc | None:
        """The rows of an operand that belong to those rows of the result."""
        if name is None:
            return None
        value, all_rows = self.em.values[name], self.em.values[op.outputs[0]].type.shape[0]
        j = self.images.read_by(op, name)
        if j is None:
            whole = self.em.constant(name) if value.is_const else self.em.where[name]
            if len(value.type.shape) < 2 or value.type.shape[0] < all_rows:
                return Loc(whole.start, 0, value.type.size_bytes, whole.buffer, whole.constant)
            return whole.at(rows.first)
        first = self.strips.made(k, i)[0]
        if self.windows.is_whole(j):
            return self.em.where[name].at(rows.first)
        return self._as_rows(name, self.windows.lines(j, first, i))

    def _shared(self, k: int, op: Op) -> Job:
        """One scratch buffer and one struct for all calls of an operation."""
        if op.name not in self.shared:
            most = self.strips.most(k) * self._per_line(op.outputs[0], k)
            self.shared[op.name] = Job(op, most, decided_on=most)
            if kernel_of(op).scratch_bytes is not None:
                self.em.made.append(self.shared[op.name])
        return self.shared[op.name]
