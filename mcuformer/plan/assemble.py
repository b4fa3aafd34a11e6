"""The program of a skeleton under one choice per region: a sketch to be placed, or the whole."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.line_outputs import first_lines
from mcuformer.operators.macs import op_macs, op_weight_bits, op_weight_bytes
from mcuformer.plan.bind import Binding, Sketch
from mcuformer.plan.running import Sweeps, region_runs
from mcuformer.price.book import CostBook
from mcuformer.program.buffers import Buffer, Span
from mcuformer.program.calls import Call, Step, spans_of
from mcuformer.program.expressions import Expr
from mcuformer.program.program import IoTensor, Layer, Program
from mcuformer.schedule.build import Skeleton, emit_region
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.regions import VIEWS, Choice, Region
from mcuformer.schedule.ways.over_image import OVER_IMAGE

Made = dict[int, list[str]]  # region -> its own buffers, in the order of their making


def sketch(
    fr: Skeleton, choices: Sequence[Choice], book: CostBook, only: Container[int]
) -> tuple[Program, Made]:
    """What has to be placed of the regions `only`: no layers, arguments or estimates."""
    bound = Sketch(fr.fresh(), book)
    steps, made, _ = _steps(fr, choices, bound, only)
    used = {s.buffer for step in steps for s in spans_of(step)}
    ends = (bound.em.where.get(n) for n in (*fr.graph.inputs, *fr.graph.outputs))
    used |= {str(at.buffer) for at in ends if at is not None}
    buffers = {n: b for n, b in bound.buffers.items() if n in used}
    return _program(fr, bound.em, steps, buffers), made


def assemble(fr: Skeleton, choices: Sequence[Choice], book: CostBook) -> tuple[Program, Made]:
    """The whole program."""
    bound = Binding(fr.fresh(), book)
    steps, made, sweeps = _steps(fr, choices, bound, range(len(fr.regions)))
    labels: dict[str, str] = {}
    for region, choice in zip(fr.regions, choices, strict=True):
        *inner, last = region.ops
        within, at_end = _labels(region, choice)
        for op in inner:
            labels.setdefault(op.name, within)
        labels.setdefault(last.name, at_end)
    layers = (op for op in fr.graph.ops if op.kind not in VIEWS)
    program = _program(
        fr, bound.em, steps, bound.buffers, bound,
        tuple(_layer(fr.graph, op, i, labels) for i, op in enumerate(layers)),
    )  # fmt: skip
    ways = [_labels(*pair)[1] for pair in zip(fr.regions, choices, strict=True)]
    return replace(program, runs=tuple(region_runs(fr, ways, sweeps))), made


def _steps(
    fr: Skeleton, choices: Sequence[Choice], bound: Sketch, only: Container[int]
) -> tuple[list[Step], Made, Sweeps]:
    steps, made, sweeps = _read_input(bound.em, fr), Made(), Sweeps()
    for i, (region, choice) in enumerate(zip(fr.regions, choices, strict=True)):
        if i in only:
            before = len(bound.buffers)
            sweeps[i] = bound.em.sweeps = []
            steps += bound.region(emit_region(bound.em, region, choice), choice.budget)
            new = len(bound.buffers) - before
            made[i] = list(islice(reversed(bound.buffers), new))[::-1]
    return steps, made, sweeps


def _program(
    fr: Skeleton,
    em: TaskEmitter,
    steps: Sequence[Step],
    buffers: Mapping[str, Buffer],
    bound: Binding | None = None,
    layers: tuple[Layer, ...] = (),
) -> Program:
    inputs = (
        io_tensor(em, name, by_lines=i == 0 and fr.mode != "resident")
        for i, name in enumerate(fr.graph.inputs)
    )
    return Program(
        name=fr.graph.name,
        input_mode=fr.mode,  # type: ignore[arg-type]
        buffers=buffers,
        steps=tuple(steps),
        layers=layers,
        graph=fr.graph.replace(values=em.values),
        params=bound.params if bound else {},
        constants=tuple(em.constants),
        traces=tuple(bound.traces) if bound else (),
        inputs=tuple(inputs),
        outputs=tuple(
            io_tensor(em, name) if first is None else io_tensor(em, name, True, first)
            for name, first in zip(fr.graph.outputs, first_lines(fr.graph), strict=True)
        ),
    )


def io_tensor(em: TaskEmitter, name: str, by_lines: bool = False, first_line: int = 0) -> IoTensor:
    """Where the caller writes or reads the value `name`; nowhere where it comes or leaves `by_lines`."""
    t = em.values[name].type
    lines = t.shape[0] if t.shape else 1
    line_bytes = t.size_bytes // lines
    if by_lines:
        return IoTensor(name, None, 0, lines, line_bytes, first_line)
    at = em.where[name]
    assert at.buffer is not None, f"{name} has no bytes in the arena"
    assert at.stride == at.row_bytes or lines == 1, f"the rows of {name} lie apart"
    return IoTensor(name, at.buffer, at.start.const, lines, line_bytes)


def _read_input(em: TaskEmitter, fr: Skeleton) -> list[Step]:
    """Bands mode for a model that wants its input whole (a sequence, several readers): read all lines at once."""
    name = fr.graph.inputs[0]
    where = em.where.get(name)
    if fr.mode != "bands" or where is None:
        return []
    t = em.values[name].type
    span = Span(str(where.buffer), where.start, t.size_bytes, t.size_bytes, Expr(1))
    return [
        Call(
            "read_lines",
            0,
            None,
            (where.addr, Expr(0), Expr(t.shape[0])),
            (),
            (span,),
            checked=True,
        )
    ]


def _labels(region: Region, choice: Choice) -> tuple[str, str]:
    """Of the operations within a region, and of its last."""
    text = f"tiles of {choice.tile}"
    if region.attention is not None:
        text = f"{choice.schedule}, {text} and {choice.query_tile}"
    elif region.modulates:
        text = f"{choice.schedule}, {text}"
    elif choice.schedule == "patches":
        text = f"{choice.lines} lines of {choice.tile} patches"
    elif choice.schedule == OVER_IMAGE:
        text = OVER_IMAGE
    elif region.in_lines:
        return f"for strips of {choice.lines} lines", f"{choice.lines} lines"
    return text, text


def _layer(graph: Graph, op: Op, index: int, labels: Mapping[str, str]) -> Layer:
    return Layer(
        index,
        op.name,
        op.kind,
        op.origin,
        graph.type(op.outputs[0]).shape,
        op_macs(graph, op),
        op_weight_bytes(graph, op),
        labels.get(op.name, ""),
        op_weight_bits(op),
    )
