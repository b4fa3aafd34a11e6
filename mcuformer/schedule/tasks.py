"""What a way to run a region consists of: tasks, each of which becomes one kernel call.

A task says what is computed and which bytes are touched. It leaves open what a budget of scratch
decides (how much the kernel expands at a time), and binds neither arguments nor parameters:
price/ reads tasks by the thousand, and plan/bind.py makes calls of the few that are kept.
"""

from __future__ import annotations

from typing import Literal

from mcuformer.ir.graph import Op
from mcuformer.program.buffers import Arg, Span
from mcuformer.program.calls import Loop
from mcuformer.schedule.places import Loc, Rows
from mcuformer.util.speed import record

SCRATCH: Literal["<scratch>"] = "<scratch>"
"""Stands among a task's arguments for the address of its scratch."""
Part = Loc | Arg | int | None  # a place is an address and a stride, None is no address and stride 0
Shown = tuple[str, Loc, Rows, int]  # value, where its rows lie, which, first byte of each


@record(frozen=True, slots=True, eq=False)
class Job:
    """What a kernel computes: `op` on `rows` rows, `heads` heads of an attention.

    `total` > 0: the rows are a tile of so many rows. `decided_on` > 0: what the kernel expands is
    chosen for so many. `lines` > 0: int32 sums over so many segments of K. Tasks with one job share
    its scratch.
    """

    op: Op
    rows: int
    total: int = 0
    heads: int = 0
    decided_on: int = 0
    lines: int = 0

    @property
    def extent(self) -> int:
        """What its cost depends on: the rows, or the total that is cut into tiles, negated."""
        return -self.total if self.total else self.rows

    @property
    def tail(self) -> int:
        """Rows of the last tile."""
        return self.total % self.rows or self.rows if self.total else self.rows


@record(frozen=True, slots=True, eq=False)
class Task:
    """A call before anything is decided. `function` "": that of the kernel of `job.op`.

    `job` says what it costs, `instructions` does where there is none. `expands`: the job whose
    scratch it gets, `packed`: the job whose constant struct. `scratch`: what it has of a size that is
    no choice. `shown`: what is traced. `overwrites`, `checked`: see `Call`.
    """

    function: str
    layer: int
    parts: tuple[Part, ...]
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    job: Job | None = None
    expands: Job | None = None
    packed: Job | None = None
    shown: Shown | None = None
    instructions: int = 0
    scratch: tuple[Span, ...] = ()
    overwrites: bool = False
    checked: bool = False


Steps = list[Task | Loop[Task]]
