"""Kernel calls and the loops around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from mcuformer.program.buffers import Arg, Span
from mcuformer.program.expressions import Env, Expr
from mcuformer.util.speed import record

C = TypeVar("C")


@record(frozen=True, slots=True, eq=False)
class Call:
    """One kernel call. `params` keys `Program.params`; `layer` is the id of an int-graph op.

    A call reads `reads` while it writes `writes`; where the two overlap (token overwriting), the
    kernel reads row i of `reads` no later than it writes row i of `writes`. `stages` > 1 never occurs:
    a kernel with several phases lists what every phase touches.
    `trace` is (index into Program.traces, finished output tile, its first row), shown to MCF_TRACE.
    """

    kernel: str
    layer: int
    params: str | None
    args: tuple[Arg, ...]
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    scratch: tuple[Span, ...] = ()
    trace: tuple[int, Span, Expr] | None = None
    instructions: int = 0  # estimate of one execution with all rows of its tile
    tail_instructions: int | None = None  # estimate of the last, shorter tile of the innermost loop
    weight_bytes_read: int = 0  # of one execution
    overwrites: bool = False  # a read span overlaps a write span on purpose, row by row
    checked: bool = False  # the call returns non-zero to abort (read_lines, write_lines)


@record(frozen=True, slots=True, eq=False)
class Loop(Generic[C]):
    """for (var = 0; var < total; var += step), var_n = min(step, total - var). Of calls, or of the
    tasks that become calls (schedule/tasks.py)."""

    var: str
    total: int
    step: int
    body: tuple[C | Loop[C], ...]
    comment: str = ""

    def iterations(self, env: Env) -> Iterator[dict[str, int]]:
        for t in range(0, self.total, self.step):
            yield {**env, self.var: t, f"{self.var}_n": min(self.step, self.total - t)}


Step = Call | Loop[Call]


def spans_of(step: Step) -> Iterator[Span]:
    """Everything that a step touches."""
    if isinstance(step, Loop):
        for inner in step.body:
            yield from spans_of(inner)
    else:
        yield from (*step.reads, *step.writes, *step.scratch)
