"""K and V of all heads exist whole: the fastest way, 2*T*Q bytes."""

from __future__ import annotations

from mcuformer.program.calls import Loop
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.sides import Sides, operand, shapes, sides


def keep_kv(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """K and V of all heads exist whole (2*T*Q bytes); queries run in tiles to the end of the region."""
    op = region.attention
    assert op is not None
    part = sides(region)
    _, tk, heads, _, _ = shapes(em, op)
    kn, vn = (str(n) for n in op.inputs[1:3])
    steps: Steps = []
    whole = {n: em.rows_buffer(n, tk) for n in dict.fromkeys((kn, vn)) if n not in em.where}
    if part.kv:
        name = "t"
        rows = Rows.tile(name, tk, choice.tile)
        out = {n: loc.at(rows.first) for n, loc in whole.items()}
        steps.append(
            Loop(
                name,
                tk,
                choice.tile,
                tuple(em.chain(part.kv, {}, rows, out)),
                f"{op.name}: K and V",
            )
        )
    k, v = operand(em, kn, whole), operand(em, vn, whole)
    steps += query_loop(em, region, part, k, v, target, choice.query_tile, heads)
    return steps


def query_loop(
    em: TaskEmitter,
    region: Region,
    part: Sides,
    k: Loc,
    v: Loc,
    target: Loc,
    query_tile: int,
    heads: int,
) -> Steps:
    """Tiles of query rows: q, attention over all heads, and what follows, into the target rows."""
    op = region.attention
    assert op is not None
    tq = em.values[str(op.inputs[0])].type.shape[0]
    name = "t"
    rows = Rows.tile(name, tq, query_tile)
    tiles: dict[str, Loc] = {}
    body = em.chain(part.q, tiles, rows, {})
    q = em.location(str(op.inputs[0]), tiles, rows)
    assert q is not None
    out = op.outputs[0]
    y = target.at(rows.first) if out == region.target else em.rows_buffer(out, rows)
    tiles[out] = y
    body.append(em.attention(op, q, k, v, y, rows, 0, heads))
    body += em.chain(part.after, tiles, rows, {region.target: target.at(rows.first)})
    return [Loop(name, tq, query_tile, tuple(body), f"{op.name}: queries")]
