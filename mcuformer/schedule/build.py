"""From the int graph to a Program: storage first, then every region under the choice made for it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels.costs import CostSet
from mcuformer.schedule import attention
from mcuformer.schedule.columns import split_column_views
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.join import copies_first, move
from mcuformer.schedule.macs import op_macs, op_weight_bits, op_weight_bytes
from mcuformer.schedule.program import (
    Call,
    Expr,
    IoTensor,
    Layer,
    Program,
    Span,
    Step,
    spans_of,
)  # fmt: skip
from mcuformer.schedule.regions import CONVOLUTIONS, VIEWS, Choice, Region, split
from mcuformer.schedule.special import SPECIAL
from mcuformer.schedule.storage import Storage

SCHEDULES = {
    "kv": attention.keep_kv,
    "heads": attention.head_by_head,
    "absorbed": attention.absorbed,
    "absorbed together": attention.absorbed_together,
    "windows": attention.windowed,
}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What does not depend on choices: the graph, its regions, and an emitter that knows all storage.

    `source` is the graph as given, before selections of columns went into the layers.
    """

    source: Graph
    graph: Graph
    regions: tuple[Region, ...]
    emitter: Emitter
    mode: str


def frame(graph: Graph, mode: str, costs: CostSet) -> Frame:
    source, graph = graph, copies_first(split_column_views(graph))
    names = [op.name for op in graph.ops]
    assert len(set(names)) == len(names), "two operations share a name"
    regions = tuple(split(graph))
    ids = {op.name: i for i, op in enumerate(op for op in graph.ops if op.kind not in VIEWS)}
    em = Emitter(graph, dict(graph.values), ids, costs)
    Storage(em, graph, list(regions), mode).assign()
    return Frame(source, graph, regions, em, mode)


def emit_region(em: Emitter, region: Region, choice: Choice, mode: str) -> list[Step]:
    """The steps of one region; `em` gets its buffers and parameters."""
    em.budget = choice.budget
    op = region.ops[-1]
    target = em.where[region.target]
    if region.attention is not None:
        return SCHEDULES[choice.schedule](em, region, target, choice.tile, choice.query_tile)
    if op.kind in VIEWS:
        return move(em, op, target)
    special = SPECIAL.get(op.kind)
    if special is not None:
        return special(em, region, target, choice, mode)
    return attention.tokenwise(em, region, target, choice.tile)


def assemble(
    fr: Frame,
    choices: Sequence[Choice],
    only: Container[int] | None = None,
    made: dict[int, list[str]] | None = None,
    priced: bool = True,
) -> Program:
    """The program under one choice per region; `only` of some regions, where given.

    `made` collects the names of every region's own buffers, in the order of their making. A program
    that is not `priced` is good for placing its buffers, and for nothing else: it has no layers.
    """
    em = replace_state(fr.emitter)
    em.priced = priced
    steps: list[Step] = list(_read_input(em, fr))
    labels: dict[str, str] = {}
    for i, (region, choice) in enumerate(zip(fr.regions, choices, strict=True)):
        em.prefix = ""
        if only is not None and i not in only:
            continue
        before = len(em.buffers)
        steps += emit_region(em, region, choice, fr.mode)
        if made is not None:
            new = len(em.buffers) - before
            made[i] = list(islice(reversed(em.buffers), new))[::-1]
        for op in region.ops if priced else ():
            labels.setdefault(op.name, _label(region, op, choice))
    buffers = em.buffers
    inputs = tuple(
        io_tensor(em, name, pulled=i == 0 and fr.mode != "resident")
        for i, name in enumerate(fr.graph.inputs)
    )
    if only is not None:
        used = {s.buffer for step in steps for s in spans_of(step)}
        ends = (em.where.get(n) for n in (*em.graph.inputs, *em.graph.outputs))
        used |= {str(at.buffer) for at in ends if at is not None}
        buffers = {n: b for n, b in buffers.items() if n in used}
    return Program(
        name=fr.graph.name,
        input_mode=fr.mode,  # type: ignore[arg-type]
        buffers=buffers,
        steps=tuple(steps),
        layers=tuple(
            _layer(fr.graph, op, i, labels)
            for i, op in enumerate(o for o in fr.graph.ops if priced and o.kind not in VIEWS)
        ),
        graph=fr.graph.replace(values=em.values),
        params=em.params,
        constants=tuple(em.constants),
        traces=tuple(em.traces),
        inputs=inputs,
        outputs=tuple(io_tensor(em, name) for name in fr.graph.outputs),
    )


def io_tensor(em: Emitter, name: str, pulled: bool = False) -> IoTensor:
    """Where the caller writes or reads the value `name`; nowhere where its lines are `pulled`."""
    t = em.values[name].type
    lines = t.shape[0] if t.shape else 1
    line_bytes = t.size_bytes // lines
    if pulled:
        return IoTensor(name, None, 0, lines, line_bytes)
    at = em.where[name]
    assert at.buffer is not None, f"{name} has no bytes in the arena"
    assert at.stride == at.row_bytes or lines == 1, f"the rows of {name} lie apart"
    return IoTensor(name, at.buffer, at.start.const, lines, line_bytes)


def replace_state(em: Emitter) -> Emitter:
    """A copy whose tables can grow without touching the original's."""
    return Emitter(
        em.graph,
        dict(em.values),
        em.layer_ids,
        em.costs,
        buffers=dict(em.buffers),
        params=dict(em.params),
        constants=dict(em.constants),
        traces=dict(em.traces),
        where=dict(em.where),
        tiled=dict(em.tiled),
        keys=em.keys,
    )


def _read_input(em: Emitter, fr: Frame) -> list[Step]:
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


def _label(region: Region, op: Op, choice: Choice) -> str:
    if region.attention is not None:
        return f"{choice.schedule}, tiles of {choice.tile} and {choice.query_tile}"
    if op.kind not in CONVOLUTIONS:
        return f"tiles of {choice.tile}"
    return (
        f"{choice.lines} lines" if op is region.ops[-1] else f"for strips of {choice.lines} lines"
    )


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
