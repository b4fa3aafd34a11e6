"""Attention inside windows of consecutive rows: one window at a time."""

from __future__ import annotations

from math import gcd

from mcuformer.ir.graph import Op
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
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
    heads, step, rows, keys = op.attrs["heads"], *window_rows(em, op)
    tiles: dict[str, Loc] = {}
    if keys == rows:
        body = em.chain(dict.fromkeys([*part.q, *part.kv]), tiles, rows, {})
    else:
        body = em.chain(part.q, tiles, rows, {})
        body += em.chain(part.kv, tiles, keys, {})
    q = em.location(qn, tiles, rows)
    k, v = (em.location(n, tiles, keys) for n in (kn, vn))
    assert q is not None and k is not None and v is not None
    out = op.outputs[0]
    y = target.at(rows.first) if out == region.target else em.rows_buffer(out, rows)
    tiles[out] = y
    bias = em.values[str(op.inputs[3])].type.shape[0] if op.inputs[3:] and op.inputs[3] else 1
    bias_row = rows.first * heads if bias > heads else Expr()
    body.append(em.attention(op, q, k, v, y, rows, 0, heads, bias_row))
    body += em.chain(part.after, tiles, rows, {region.target: target.at(rows.first)})
    count = op.attrs["windows"]
    return [Loop("t", count * step, step, tuple(body), f"{op.name}: windows of {rows.full} rows")]


def window_rows(em: TaskEmitter, op: Op) -> tuple[int, Rows, Rows]:
    """The step of "t" from window to window, and the rows of q and of K and V in one: pooled queries
    (Hiera) are fewer than keys, so "t" counts what both sizes are multiples of."""
    q, k = (em.values[str(n)].type.shape[0] // op.attrs["windows"] for n in op.inputs[:2])
    if q == k:
        rows = Rows.tile("t", q * op.attrs["windows"], q)
        return q, rows, rows
    step = gcd(q, k)
    rows, keys = (Rows(var("t") * (n // step), Expr(n), n, n) for n in (q, k))
    return step, rows, keys
