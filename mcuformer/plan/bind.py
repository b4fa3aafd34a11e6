"""From tasks to calls: a budget decides how much scratch each kernel takes, then bytes have names.

`Sketch` makes calls that are good for placing their buffers, and for nothing else. `Binding` makes
whole ones, with arguments, constant structs, traces and estimates: for the program that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcuformer.ir.graph import fresh_name
from mcuformer.operators.table import kernel_of
from mcuformer.price.book import CostBook, weight_bytes_read
from mcuformer.program.buffers import Addr, Arg, Buffer, Span
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.expressions import Expr
from mcuformer.program.program import Param, TracedTile
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.tasks import SCRATCH, Job, Part, Steps, Task

Choices = Mapping[str, int]


@dataclass(slots=True, eq=False)
class Sketch:
    """`buffers`: those of `em` and the scratch that was decided, in the order of their making."""

    em: TaskEmitter
    book: CostBook
    buffers: dict[str, Buffer] = field(init=False)
    scratch: dict[Job, tuple[Span, ...]] = field(default_factory=dict)
    chosen: dict[Job, Choices] = field(default_factory=dict)
    budget: int = 0

    def __post_init__(self) -> None:
        self.buffers = dict(self.em.buffers)

    def region(self, steps: Steps, budget: int) -> list[Step]:
        """The calls of `steps`, the last that `em` emitted, each with `budget` bytes of scratch at most."""
        self.budget = budget
        for made in self.em.made:
            if isinstance(made, Buffer):
                self.buffers[made.name] = made
            else:
                self.scratch[made] = self._decided(made)
        self.em.made.clear()
        return self._bound(steps)

    def _decided(self, job: Job) -> tuple[Span, ...]:
        size = self.book.scratch_bytes(job, self.em, self.choices(job))
        if size == 0:
            return ()
        stem = f"{job.op.name}.scratch"
        name = fresh_name(stem, self.buffers, self.em.buffers, tried=self.em.tried)
        self.buffers[name] = Buffer(name, size, 8, "scratch", "fast")
        return (Span.whole(self.buffers[name]),)

    def choices(self, job: Job) -> Choices:
        found = self.chosen.get(job)
        if found is None:
            found = self.chosen[job] = self.book.choices(job, self.em, self.budget)
        return found

    def _bound(self, steps: Iterable[Task | Loop[Task]]) -> list[Step]:
        return [
            self.call(s) if isinstance(s, Task)
            else Loop(s.var, s.total, s.step, tuple(self._bound(s.body)), s.comment)
            for s in steps
        ]  # fmt: skip

    def call(self, task: Task) -> Call:
        return Call(
            task.function, task.layer, None, (), task.reads, task.writes, self.scratch_of(task)
        )

    def scratch_of(self, task: Task) -> tuple[Span, ...]:
        return self.scratch[task.expands] if task.expands else task.scratch


@dataclass(slots=True, eq=False)
class Binding(Sketch):
    """`params` are the const structs of kernels, `traces` what traced tiles hold, by their numbers."""

    params: dict[str, Param] = field(default_factory=dict)
    traces: dict[TracedTile, int] = field(default_factory=dict)

    def call(self, task: Task) -> Call:
        job, scratch = task.job, self.scratch_of(task)
        instructions, tail, read, function = task.instructions, None, 0, task.function
        if job is not None:
            choices, book, em = self.choices(job), self.book, self.em
            instructions = book.instructions(job, em, job.rows, choices)
            tail = book.instructions(job, em, job.tail, choices)
            read = int(weight_bytes_read(job, em, job.rows))
            function = function or kernel_of(job.op).function_of(job.op, em)
        return Call(
            kernel=function,
            layer=task.layer,
            params=None if task.packed is None else self._param(task.packed),
            args=self._arguments(task.parts, scratch),
            reads=task.reads,
            writes=task.writes,
            scratch=scratch,
            trace=None if task.shown is None else self._trace(*task.shown),
            instructions=instructions,
            tail_instructions=tail,
            weight_bytes_read=read,
            overwrites=task.overwrites,
            checked=task.checked,
        )

    def _param(self, job: Job) -> str:
        op, choices = job.op, self.choices(job)
        choices = {**choices, "lines": job.lines} if job.lines else choices
        key, n = op.outputs[0], 1
        while key in self.params and (
            self.params[key].op is not op or self.params[key].choices != choices
        ):
            key, n = f"{op.outputs[0]}.{n}", n + 1
        self.params[key] = Param(op, choices)
        return key

    @staticmethod
    def _arguments(parts: Iterable[Part], scratch: tuple[Span, ...]) -> tuple[Arg, ...]:
        """What a kernel is called with; an operand is its address and its stride."""
        found: list[Arg] = []
        for part in parts:
            if isinstance(part, Loc):
                found += (part.addr, Expr(part.stride))
            elif part is None:
                found += ("NULL", Expr())
            elif part == SCRATCH:
                found.append(Addr(scratch[0].buffer) if scratch else "NULL")
            else:
                found.append(Expr(part) if isinstance(part, int) else part)
        return tuple(found)

    def _trace(
        self, value: str, y: Loc, rows: Rows, first_byte: int
    ) -> tuple[int, Span, Expr] | None:
        """A head's share `k[64:128]` of a value is shown as columns of the value."""
        span = y.span(rows.count)
        if not span:
            return None
        if value.endswith("]"):
            whole, start = (
                value[: value.rindex("[")],
                value[value.rindex("[") + 1 : value.rindex(":")],
            )
            *image, channels = self.em.values[value].type.shape
            if len(image) == 2:  # of each pixel of a line
                y = replace(y, stride=y.stride // image[1], row_bytes=y.row_bytes // image[1])
                rows = Rows(rows.first * image[1], rows.count * image[1], rows.full, rows.tail)
                span = y.span(rows.count)
            first_byte += int(start) * y.row_bytes // channels
            value = whole
        trace = TracedTile(value, first_byte, y.row_bytes)
        index = self.traces.setdefault(trace, len(self.traces))
        return index, span[0], rows.first
