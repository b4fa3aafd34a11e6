"""The Program: kernel calls on byte buffers, in order, with loops over row tiles.

The scheduler writes it; the memory planner, the byte-level simulator, the cost model and the C
printer read it. Nothing else in the project knows in which order a network runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcuformer.ir.graph import Graph, Op
from mcuformer.util.record import record

Env = Mapping[str, int]
Kind = Literal["activation", "scratch", "input", "output"]  # of a buffer
Hint = Literal["", "fast"]


@record(frozen=True, slots=True)
class Expr:
    """const + sum(coefficient * variable); variables are loop variables `t` and their row counts `t_n`."""

    const: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    def value(self, env: Env) -> int:
        total = self.const
        for name, k in self.terms:
            total += k * env[name]
        return total

    def __add__(self, other: Expr | int) -> Expr:
        if not isinstance(other, Expr):
            return Expr(self.const + other, self.terms)
        if not other.terms:
            return Expr(self.const + other.const, self.terms)
        if not self.terms:
            return Expr(self.const + other.const, other.terms)
        table = dict(self.terms)
        for name, k in other.terms:
            table[name] = table.get(name, 0) + k
        return Expr(self.const + other.const, tuple((n, k) for n, k in table.items() if k))

    def __mul__(self, k: int) -> Expr:
        if not self.terms:
            return Expr(self.const * k)
        return Expr(self.const * k, tuple((n, c * k) for n, c in self.terms if k))


def var(name: str) -> Expr:
    return Expr(0, ((name, 1),))


@record(frozen=True, slots=True)
class Buffer:
    """Bytes in SRAM. `io` buffers hold the resident input or the output and stay readable at the end.

    `hint` "fast" asks for tightly coupled memory.
    """

    name: str
    size_bytes: int
    align: int = 8
    kind: Kind = "activation"
    hint: Hint = ""


@record(frozen=True, slots=True)
class Span:
    """`rows` pieces of `row_bytes`, `stride` apart, from byte `start` of `buffer`."""

    buffer: str
    start: Expr
    stride: int
    row_bytes: int
    rows: Expr

    @staticmethod
    def whole(buffer: Buffer) -> Span:
        return Span(buffer.name, Expr(), buffer.size_bytes, buffer.size_bytes, Expr(1))


IMAGE = "<image>"  # no value has this name


@record(frozen=True, slots=True)
class Addr:
    """A C argument: the address of byte `offset` of `buffer`; `constant` names a C array in flash instead.

    The constant IMAGE is input 0 in the caller's memory (input mode flash).
    """

    buffer: str | None
    offset: Expr = field(default_factory=Expr)
    constant: str | None = None
    ctype: str = "void"


Arg = Addr | Expr | str


@record(frozen=True, slots=True, eq=False)
class Work:
    """What a call computes: `op` on `rows` rows, `heads` heads of an attention.

    `total` > 0: the rows are a tile of so many rows. `decided_on` > 0: a panel is chosen for so many.
    """

    op: Op
    rows: int
    total: int
    heads: int = 0
    decided_on: int = 0

    @property
    def extent(self) -> int:
        """What its cost depends on: the rows, or the total that is cut into tiles, negated."""
        return -self.total if self.total else self.rows


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
    checked: bool = False  # the call returns non-zero to abort (read_lines)
    work: Work | None = None  # what it costs under other tiles and budgets (schedule/measure.py)


@record(frozen=True, slots=True, eq=False)
class Loop:
    """for (var = 0; var < total; var += step), var_n = min(step, total - var)."""

    var: str
    total: int
    step: int
    body: tuple[Step, ...]
    comment: str = ""

    def iterations(self, env: Env) -> Iterator[dict[str, int]]:
        for t in range(0, self.total, self.step):
            yield {**env, self.var: t, f"{self.var}_n": min(self.step, self.total - t)}


Step = Call | Loop


def spans_of(step: Step) -> Iterator[Span]:
    """Everything that a step touches."""
    if isinstance(step, Loop):
        for inner in step.body:
            yield from spans_of(inner)
    else:
        yield from (*step.reads, *step.writes, *step.scratch)


@record(frozen=True, slots=True, eq=False)
class Layer:
    """A row of the per-layer table: one op of the int graph and how it runs."""

    id: int
    name: str
    op: str
    onnx_nodes: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    weights_bytes: int
    schedule: str
    weight_bits: int = 0


@record(frozen=True, slots=True)
class Trace:
    """What a traced tile holds: `row_bytes` from byte `first_byte` on of each row of int-graph value
    `value`. All of q and one head's share of it, where it is k as well, are two traces."""

    value: str
    first_byte: int
    row_bytes: int


@record(frozen=True, slots=True, eq=False)
class Param:
    """A kernel's const struct: `kernel_of(op).pack(op, program.graph, **choices)` makes it.

    Packing is left to the code generator: the search schedules thousands of networks and packs none.
    """

    op: Op
    choices: Mapping[str, int] = field(default_factory=dict)


@record(frozen=True, slots=True)
class IoTensor:
    """An input or output of the network: `lines` lines of `line_bytes`, one behind the other.

    They begin at byte `offset` of `buffer`. Input 0 has no buffer where its lines are pulled
    (bands) or lie in the caller's memory (flash). Lines are image lines or token rows.
    """

    value: str
    buffer: str | None
    offset: int
    lines: int
    line_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.lines * self.line_bytes

    def span(self) -> Span | None:
        """All its bytes in the arena."""
        if self.buffer is None:
            return None
        return Span(self.buffer, Expr(self.offset), self.size_bytes, self.size_bytes, Expr(1))


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """`graph` is the int graph and what the schedule split off it (heads, factors).

    `params` are the const structs of kernels; `constants` names values of `graph` that are bare arrays in
    flash (position table, class token).
    """

    name: str
    input_mode: Literal["resident", "bands", "flash"]
    buffers: Mapping[str, Buffer]
    steps: tuple[Step, ...]
    layers: tuple[Layer, ...]
    graph: Graph
    params: Mapping[str, Param]
    constants: tuple[str, ...]
    traces: tuple[Trace, ...]
    inputs: tuple[IoTensor, ...]  # in the order of graph.inputs; `input_mode` is that of the first
    outputs: tuple[IoTensor, ...]

    def calls(self) -> Iterator[tuple[Call, tuple[Loop, ...]]]:
        """Every call once, in static order, with the loops around it (outermost first)."""
        yield from _calls(self.steps, ())

    def executions(self) -> Iterator[tuple[Call, dict[str, int]]]:
        """Every execution of every call in order, with the values of the loop variables."""
        yield from _executions(self.steps, {})


def _calls(
    steps: tuple[Step, ...], around: tuple[Loop, ...]
) -> Iterator[tuple[Call, tuple[Loop, ...]]]:
    for step in steps:
        if isinstance(step, Loop):
            yield from _calls(step.body, (*around, step))
        else:
            yield step, around


def _executions(
    steps: tuple[Step, ...], env: dict[str, int]
) -> Iterator[tuple[Call, dict[str, int]]]:
    for step in steps:
        if isinstance(step, Loop):
            for inner in step.iterations(env):
                yield from _executions(step.body, inner)
        else:
            yield step, env
