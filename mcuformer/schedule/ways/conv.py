"""Convolutions, alone or in a chain, a strip of lines at a time.

Of the images between two convolutions of a chain (and of the model's input in `bands` mode) only a
window exists: the lines that the next convolution still needs. `strips.py` says which lines those
are. Between two steps only the few lines that the next strip reads again lie aside. One strip of
all lines is the schedule that keeps whole images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcuformer.ir.graph import Op
from mcuformer.kernels import conv, elementwise
from mcuformer.kernels.lines import Lines
from mcuformer.operators.table import INT_OPS, kernel_of, operand
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter, overwrites
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import SCRATCH, Job, Steps, Task
from mcuformer.schedule.ways.embed import read_lines
from mcuformer.schedule.ways.strips import Strips, line_choices


def geometry(em: TaskEmitter, region: Region) -> tuple[tuple[Lines, ...], int]:
    """The convolutions of a region seen vertically, and the lines of their input."""
    convs = tuple(INT_OPS[op.kind].lines(op, em) for op in region.ops)
    return convs, em.values[str(region.ops[0].inputs[0])].type.shape[0]


def strip_choices(em: TaskEmitter, region: Region) -> list[int]:
    """Lines of a strip of the region's target, whole images first."""
    return line_choices(*geometry(em, region))


def convolve(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """All strips in order: the first and the last ones by themselves, a loop over those between."""
    strips = Strips.of(*geometry(em, region), choice.lines)
    chain = _Chain(em, region.ops, strips, target, _windows(em, region.ops, strips))
    steady = strips.steady()
    steps: Steps = []
    for i in range(strips.steps):
        if i not in steady:
            steps += chain.step(i, Expr())
        elif i == steady.start:
            body = tuple(chain.step(i, var("t")))
            steps.append(Loop("t", len(steady), 1, body, f"{region.name}: strips of lines"))
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


def _windows(em: TaskEmitter, ops: tuple[Op, ...], strips: Strips) -> list[Loc | None]:
    """A buffer for the window of every image but the last; None: image 0 lies somewhere whole."""
    names = [str(op.inputs[0]) for op in ops]
    return [
        None if k == 0 and name in em.where
        else em.rows_buffer(name, strips.window(k), f"{name}.lines")
        for k, name in enumerate(names)
    ]  # fmt: skip


@dataclass(slots=True)
class _Chain:
    """Emits the calls of a step. `moved` says how many steps further down it really is."""

    em: TaskEmitter
    ops: tuple[Op, ...]
    strips: Strips
    target: Loc
    windows: list[Loc | None]
    aside: dict[int, Loc] = field(default_factory=dict)
    scratch: dict[str, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for k, window in enumerate(self.windows):
            overlap = self.strips.overlap(k)
            if window is not None and overlap and self._keeps(k):
                name = str(self.ops[k].inputs[0])
                self.aside[k] = self.em.rows_buffer(name, overlap, f"{name}.kept")

    def _keeps(self, k: int) -> bool:
        """Whether any step reads lines of image k again: near its end none may be left to read."""
        kept = (self.strips.kept(k, i) for i in range(1, self.strips.steps))
        return any(end > first for first, end in kept)

    def step(self, i: int, moved: Expr) -> Iterator[Task]:
        last = len(self.ops)
        for k in range(last + 1):
            if k < last:
                yield from self._restore(k, i)
            if k == 0:
                yield from self._read(i, moved)
            else:
                yield from self._convolve(k, i, moved)
                yield from self._save(k - 1, i)

    def _read(self, i: int, moved: Expr) -> Iterator[Task]:
        """The lines of the model's input that this step wants."""
        first, end = self.strips.made(0, i)
        window = self.windows[0]
        if window is not None and end > first:
            at = window.at(first - self.strips.top(0, i))
            line = Expr(first) + moved * self.strips.per_step[0]
            yield read_lines(self.em, self.ops[0], at, line, end - first, window.stride)

    def _restore(self, k: int, i: int) -> Iterator[Task]:
        """The lines of image k that the step before has put aside come first in the window."""
        first, end = self.strips.kept(k, i)
        window = self.windows[k]
        if window is not None and end > first:
            x = self.aside[k].at(first - self.strips.top_kept(k, i))
            yield self._copy(k, x, window.at(first - self.strips.top(k, i)), end - first)

    def _save(self, k: int, i: int) -> Iterator[Task]:
        """Lines of image k that the next step wants are put aside: the window is free between steps."""
        first, end = self.strips.kept(k, i + 1) if i + 1 < self.strips.steps else (0, 0)
        window = self.windows[k]
        if window is not None and end > first:
            y = self.aside[k].at(first - self.strips.top_kept(k, i + 1))
            yield self._copy(k, window.at(first - self.strips.top(k, i)), y, end - first)

    def _copy(self, k: int, x: Loc, y: Loc, lines: int) -> Task:
        count = Expr(lines)
        return Task(
            "mcf_copy",
            self.em.layer_ids[self.ops[k].name],
            (x, y, x.stride, count),
            x.span(count),
            y.span(count),
            instructions=elementwise.copy_instructions(x.stride, lines),
        )

    def _convolve(self, k: int, i: int, moved: Expr) -> Iterator[Task]:
        """The lines of image k from those of image k - 1."""
        first, end = self.strips.made(k, i)
        if end == first:
            return
        op, line = self.ops[k - 1], Expr(first) + moved * self.strips.per_step[k]
        x, x_line, read = self._input(k - 1, i, moved)
        y, rows = self._output(k, i, line, end - first)
        kernel, count = kernel_of(op), Expr(end - first)
        others = [self._operand(op, name, line, end - first) for name in kernel.reads[1:]]
        most = self._rows(k, min(self.strips.per_step[k], self.strips.limits[k]))
        job = Job(op, rows.full, decided_on=most)
        scratch = self._scratch(op, most)
        yield Task(
            "",
            self.em.layer_ids[op.name],
            (
                x.addr,
                x_line,
                *("NULL" if at is None else at.addr for at, _ in others),
                y.addr,
                line,
                count,
                *((SCRATCH,) if scratch else ()),
            ),
            (*read, *(s for _, spans in others for s in spans)),
            y.span(rows.count),
            job,
            scratch,
            job,
            (op.outputs[0], y, rows, 0),
            overwrites=overwrites(kernel, [x, *(at for at, _ in others)], y),
        )

    def _input(self, k: int, i: int, moved: Expr) -> tuple[Loc, Expr, tuple[Span, ...]]:
        """Where image k lies, the line that lies there, and the bytes read."""
        first, end = self.strips.read(k, i)
        window = self.windows[k]
        if window is None:
            x, top = self.em.where[str(self.ops[0].inputs[0])], Expr()
            at = x.at(Expr(first) + moved * self.strips.per_step[k])
        else:
            x, top = window, Expr(self.strips.top(k, i)) + moved * self.strips.per_step[k]
            at = x.at(first - self.strips.top(k, i))
        return x, top, at.span(Expr(end - first)) if end > first else ()

    def _output(self, k: int, i: int, line: Expr, count: int) -> tuple[Loc, Rows]:
        """Where the lines go, and which rows of the value they are."""
        rows = self._rows(k, count)
        first = line * (rows // count)
        if k == len(self.ops):
            y = self.target.at(first)
        else:
            window = self.windows[k]
            assert window is not None
            y = window.at(self.strips.made(k, i)[0] - self.strips.top(k, i))
        return y, Rows(first, Expr(rows), rows, rows)

    def _rows(self, k: int, lines: int) -> int:
        """Rows of the value that is image k: lines, or pixels where it is tokens."""
        op = self.ops[k - 1]
        tokens = len(self.em.values[op.outputs[0]].type.shape) == 2
        return lines * conv.out_width(op, self.em) if tokens else lines

    def _operand(
        self, op: Op, name: str, line: Expr, count: int
    ) -> tuple[Loc | None, tuple[Span, ...]]:
        """Where the lines of an operand lie that has those of the output, and the bytes read."""
        value_name = operand(op, name)
        if value_name is None:
            return None, ()
        value = self.em.values[value_name]
        per = value.type.shape[0] // conv.output_lines(op, self.em)
        whole = self.em.constant(value_name) if value.is_const else self.em.where[value_name]
        res = whole.at(line * per)
        return res, res.span(Expr(count * per))

    def _scratch(self, op: Op, rows: int) -> Job | None:
        """One buffer for all calls of a convolution."""
        if kernel_of(op).scratch_bytes is None:
            return None
        if op.name not in self.scratch:
            self.scratch[op.name] = Job(op, rows, decided_on=rows)
            self.em.made.append(self.scratch[op.name])
        return self.scratch[op.name]
