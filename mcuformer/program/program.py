"""The whole of it: buffers, steps, layers, constant structs, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcuformer.ir.graph import Graph, Op
from mcuformer.program.buffers import Buffer, Span
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.expressions import Expr
from mcuformer.program.running import RegionRun
from mcuformer.util.speed import record


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
class TracedTile:
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
    (bands) or lie in the caller's memory (flash), an output where its lines are handed out, numbered
    from `first_line`. Lines are image lines or token rows.
    """

    value: str
    buffer: str | None
    offset: int
    lines: int
    line_bytes: int
    first_line: int = 0

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
    traces: tuple[TracedTile, ...]
    inputs: tuple[IoTensor, ...]  # in the order of graph.inputs; `input_mode` is that of the first
    outputs: tuple[IoTensor, ...]
    runs: tuple[RegionRun, ...] = ()  # of a sketch none

    @property
    def output_mode(self) -> Literal["resident", "lines"]:
        """Whether any output leaves by lines."""
        return "lines" if any(t.buffer is None for t in self.outputs) else "resident"

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
