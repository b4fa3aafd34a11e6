"""Attention inside windows of consecutive rows: one window at a time."""

from __future__ import annotations

from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.sides import sides


def windowed(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Windows of consecutive rows (Swin, LSA): one window's q, K and V at a time, then its rows."""
    op = region.attention
    assert op is not None
    part = sides(region)
    qn, kn, vn = (str(n) for n in op.inputs[:3])
    windows, heads = op.attrs["windows"], op.attrs["heads"]
    total = em.values[qn].type.shape[0]
    size = total // windows
    rows = Rows.tile("t", total, size)
    tiles: dict[str, Loc] = {}
    body = em.chain(dict.fromkeys([*part.q, *part.kv]), tiles, rows, {})
    q, k, v = (em.location(n, tiles, rows) for n in (qn, kn, vn))
    assert q is not None and k is not None and v is not None
    out = op.outputs[0]
    y = target.at(rows.first) if out == region.target else em.rows_buffer(out, rows)
    tiles[out] = y
    bias = em.values[str(op.inputs[3])].type.shape[0] if op.inputs[3:] and op.inputs[3] else 1
    bias_row = rows.first * heads if bias > heads else Expr()
    body.append(em.attention(op, q, k, v, y, rows, 0, heads, bias_row))
    body += em.chain(part.after, tiles, rows, {region.target: target.at(rows.first)})
    return [Loop("t", total, size, tuple(body), f"{op.name}: windows of {size} rows")]
