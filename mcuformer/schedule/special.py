"""Regions whose last operation is not row-wise: convolutions, means over tokens, joins, gathers of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mcuformer.operators.row import Movement
from mcuformer.operators.table import INT_OPS, instructions_of
from mcuformer.schedule import conv, embed, join
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import Addr, Arg, Call, Expr, Loop, Span, Step, Work
from mcuformer.schedule.regions import Choice, Region


def _convolutions(
    em: Emitter, region: Region, target: Loc, choice: Choice, mode: str
) -> list[Step]:
    op = region.ops[-1]
    if not embed.by_patches(em.graph, op):
        return conv.convolve(em, region, target, choice.lines)
    lines = min(choice.lines, op.attrs["kernel"][0])
    whole_image = em.where.get(str(op.inputs[0]))
    return embed.patch_embed(em, op, target, "resident" if whole_image else "bands", lines)


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
    layer, key = em.layer_ids[op.name], em.param(op)
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
            instructions=instructions_of(op, em.costs)(op, em, rows.full),
            tail_instructions=instructions_of(op, em.costs)(op, em, rows.tail),
            overwrites=True,
            work=Work(op, rows.full, rows.total),
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
_BY_MOVEMENT: Mapping[Movement, _Special] = {
    "lines": _convolutions,
    "mean": _mean,
    "join": join.concat,
    "pick": _gather,
}
SPECIAL: Mapping[str, _Special] = {
    kind: _BY_MOVEMENT[row.movement]
    for kind, row in INT_OPS.items()
    if row.movement in _BY_MOVEMENT
}
