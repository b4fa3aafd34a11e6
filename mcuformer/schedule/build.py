"""From the int graph to a Program: storage first, then every region under the choice made for it."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels import elementwise
from mcuformer.record import record
from mcuformer.schedule import attention, conv, embed
from mcuformer.schedule.columns import split_column_views
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.macs import op_macs, op_weight_bits, op_weight_bytes
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import (
    Addr,
    Arg,
    Call,
    Expr,
    Layer,
    Loop,
    Program,
    Span,
    Step,
    Work,
    spans_of,
)  # fmt: skip
from mcuformer.schedule.regions import CONVOLUTIONS, Region, is_column_view, split
from mcuformer.schedule.storage import Storage

SCHEDULES = {
    "kv": attention.keep_kv,
    "heads": attention.head_by_head,
    "absorbed": attention.absorbed,
    "absorbed together": attention.absorbed_together,
    "windows": attention.windowed,
}
MOVES = frozenset({"reshape", "slice"})


@record(frozen=True, slots=True)
class Choice:
    """How one region runs. `tile`: token rows; `query_tile`: rows of an attention's query loop;
    `budget`: scratch bytes a kernel may take; `lines`: image lines of patches, or lines of a strip of
    a convolution's output, at a time."""

    schedule: str = "rows"
    tile: int = 64
    query_tile: int = 32
    budget: int = 0
    lines: int = 1 << 30


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


def frame(graph: Graph, mode: str) -> Frame:
    source, graph = graph, split_column_views(graph)
    names = [op.name for op in graph.ops]
    assert len(set(names)) == len(names), "two operations share a name"
    regions = tuple(split(graph))
    ids = {op.name: i for i, op in enumerate(op for op in graph.ops if op.kind not in MOVES)}
    em = Emitter(graph, dict(graph.values), ids)
    Storage(em, graph, list(regions), mode).assign()
    return Frame(source, graph, regions, em, mode)


def emit_region(em: Emitter, region: Region, choice: Choice, mode: str) -> list[Step]:
    """The steps of one region; `em` gets its buffers and parameters."""
    em.budget = choice.budget
    op = region.ops[-1]
    target = em.where[region.target]
    if region.attention is not None:
        return SCHEDULES[choice.schedule](em, region, target, choice.tile, choice.query_tile)
    if op.kind in MOVES:
        return _move(em, op, target)
    special = SPECIAL.get(op.kind)
    if special is not None:
        return special(em, region, target, choice, mode)
    return attention.tokenwise(em, region, target, choice.tile)


def _move(em: Emitter, op: Op, target: Loc) -> list[Step]:
    source = em.where[str(op.inputs[0])]
    if source.buffer == target.buffer:
        return []
    raise UnsupportedModelError(
        f"{op.name}: this {op.kind} would have to move bytes that lie apart"
    )


def _convolutions(
    em: Emitter, region: Region, target: Loc, choice: Choice, mode: str
) -> list[Step]:
    op = region.ops[-1]
    if not embed.by_patches(em.graph, op):
        return conv.convolve(em, region, target, choice.lines)
    lines = min(choice.lines, op.attrs["kernel"][0])
    whole_image = em.where.get(str(op.inputs[0]))
    return embed.patch_embed(em, op, target, mode if whole_image else "bands", lines)


def _mean(em: Emitter, region: Region, target: Loc, choice: Choice, mode: str) -> list[Step]:
    """Row-wise operations before a mean over tokens run in tiles that add to int32 sums."""
    op = region.ops[-1]
    x_name = str(op.inputs[0])
    t = em.values[x_name].type
    tile = min(choice.tile, t.shape[0])
    acc = Loc(Expr(), 4 * t.shape[1], 4 * t.shape[1], em.buffer(f"{op.name}.sums", 4 * t.shape[1]))
    rows = Rows.tile("t", t.shape[0], tile)
    tiles: dict[str, Loc] = {}
    body = em.chain(region.ops[:-1], tiles, rows, {})
    x = em.location(x_name, tiles, rows)
    assert x is not None
    layer, key = em.layer_ids[op.name], em.param("elementwise", op)
    args = (x.addr, Expr(x.stride), rows.first, rows.count, acc.addr)
    one = Rows.all(1)
    body.append(
        Call(
            "mcf_mean_partial",
            layer,
            key,
            args,
            x.span(rows.count) + acc.span(one.count),
            acc.span(one.count),
            instructions=elementwise.instructions(op, em, rows.full),
            tail_instructions=elementwise.instructions(op, em, rows.tail),
            overwrites=True,
            work=Work("elementwise", op, rows.full, rows.total),
        )
    )
    start = Call(
        "mcf_zero",
        layer,
        None,
        (acc.addr, Expr(acc.row_bytes)),
        (),
        acc.span(one.count),
        instructions=acc.row_bytes // 4 + 8,
    )
    finish = Call(
        "mcf_mean_finish",
        layer,
        key,
        (acc.addr, target.addr),
        acc.span(one.count),
        target.span(one.count),
        trace=em.trace(op.outputs[0], target, one),
        instructions=8 * t.shape[1],
    )
    return [start, Loop("t", t.shape[0], tile, tuple(body), f"{op.name}: sums over tokens"), finish]


def _concat(em: Emitter, region: Region, target: Loc, choice: Choice, mode: str) -> list[Step]:
    """Constants and parts that could not be computed in place are copied to their rows."""
    op = region.ops[-1]
    steps: list[Step] = []
    row = 0
    for name in map(str, op.inputs):
        count = em.values[name].type.shape[0]
        y = target.at(row)
        x = em.constant(name) if em.values[name].is_const else em.where[name]
        if (x.buffer, x.start) != (y.buffer, y.start):
            steps.append(replace(embed.copy_rows(em, op, x, y, Rows.all(count)), trace=None))
        row += count
    if not steps:
        return []
    last = steps[-1]
    assert isinstance(last, Call)
    steps[-1] = replace(last, trace=em.trace(op.outputs[0], target, Rows.all(row)))
    return steps


def _gather(em: Emitter, region: Region, target: Loc, choice: Choice, mode: str) -> list[Step]:
    """Rows by static index; a permutation of rows that die here happens in their own buffer."""
    op = region.ops[-1]
    x = em.where[str(op.inputs[0])]
    indices = [int(i) for i in np.asarray(op.attrs["indices"]).ravel()]
    rows = Rows.all(len(indices))
    source = Rows.all(em.values[str(op.inputs[0])].type.shape[0])
    layer = em.layer_ids[op.name]
    size = Expr(x.row_bytes)
    cost = len(indices) * (x.row_bytes + 24)
    trace = em.trace(op.outputs[0], target, rows)
    if x.buffer is None or x.buffer != target.buffer:
        table = em.index_constant(f"{op.name}.rows", indices)
        args: tuple[Arg, ...] = (
            x.addr,
            Expr(x.stride),
            target.addr,
            Expr(target.stride),
            size,
            rows.count,
            table,
        )
        return [Call("mcf_gather", layer, None, args, x.span(source.count), target.span(rows.count),
                     trace=trace, instructions=cost)]  # fmt: skip
    table = em.index_constant(f"{op.name}.cycles", cycles(indices))
    row = em.buffer(f"{op.name}.row", x.row_bytes, "scratch")
    args = (x.addr, Expr(x.stride), size, table, Addr(row))
    return [Call("mcf_permute", layer, None, args, x.span(rows.count), target.span(rows.count),
                 (Span.whole(em.buffers[row]),), trace, cost, overwrites=True)]  # fmt: skip


def cycles(indices: Sequence[int]) -> list[int]:
    """The cycles of new row i = old row indices[i]: rows of each, closed by 65535; a last 65535."""
    done = [False] * len(indices)
    found: list[int] = []
    for first in range(len(indices)):
        if done[first] or indices[first] == first:
            continue
        at = first
        while not done[at]:
            done[at] = True
            found.append(at)
            at = indices[at]
        found.append(65535)
    return [*found, 65535]


_Special = Callable[[Emitter, Region, Loc, Choice, str], list[Step]]
SPECIAL: Mapping[str, _Special] = {
    "q_patch_embed": _convolutions,
    "q_conv2d": _convolutions,
    "q_dwconv2d": _convolutions,
    "q_mean": _mean,
    "concat": _concat,
    "gather": _gather,
}


def assemble(
    fr: Frame, choices: Sequence[Choice], only: Container[int] | None = None,
    made: dict[int, list[str]] | None = None, priced: bool = True,
) -> Program:
    """The program under one choice per region; `only` of some regions, where given.

    `made` collects the names of every region's own buffers, in the order of their making. A program
    that is not `priced` is good for placing its buffers, and for nothing else.
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
            made[i] = list(em.buffers)[before:]
        for op in region.ops:
            labels.setdefault(op.name, _label(region, op, choice))
    image = em.values[fr.graph.inputs[0]].type
    where = em.where.get(fr.graph.inputs[0])
    buffers = em.buffers
    if only is not None:
        used = {s.buffer for step in steps for s in spans_of(step)}
        buffers = {n: b for n, b in buffers.items() if n in used}
    return Program(
        name=fr.graph.name,
        input_mode=fr.mode,  # type: ignore[arg-type]
        buffers=buffers,
        steps=tuple(steps),
        layers=tuple(
            _layer(fr.graph, op, i, labels)
            for i, op in enumerate(o for o in fr.graph.ops if o.kind not in MOVES)
        ),
        graph=fr.graph.replace(values=em.values),
        params=em.params,
        constants=tuple(em.constants),
        traces=tuple(em.traces),
        input_buffer=where.buffer if where is not None and fr.mode == "resident" else None,
        output_buffer=str(em.where[fr.graph.outputs[0]].buffer),
        line_bytes=image.size_bytes // image.shape[0],
        lines=image.shape[0],
    )


def replace_state(em: Emitter) -> Emitter:
    """A copy whose tables can grow without touching the original's."""
    return replace(
        em,
        values=dict(em.values),
        buffers=dict(em.buffers),
        params=dict(em.params),
        constants=dict(em.constants),
        traces=dict(em.traces),
        where=dict(em.where),
        tiled=dict(em.tiled),
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
    return f"{choice.lines} lines" if op is region.ops[-1] else f"for strips of {choice.lines} lines"


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


__all__ = ["Choice", "Frame", "Loop", "assemble", "emit_region", "frame", "is_column_view"]
