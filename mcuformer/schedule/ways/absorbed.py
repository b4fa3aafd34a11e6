"""Scores against the tokens themselves: neither K nor V exists (quant/absorb.py rewrites the graph)."""

from __future__ import annotations

from mcuformer.ir.graph import Op
from mcuformer.program.calls import Loop
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.sides import sides


def absorbed(
    em: TaskEmitter, region: Region, target: Loc, choice: Choice, together: bool = False
) -> Steps:
    """Scores against the normalised tokens N themselves (T*E bytes): no K, no V (quant/absorb.py).

    Per tile of queries and head: q' = Wk^T q, softmax(q' N^T) N, Wv; then what follows. `together`:
    all heads of a tile in one attention call, which expands N once for them.
    """
    op, tile, query_tile = region.attention, choice.tile, choice.query_tile
    assert op is not None
    part = sides(region)
    qn, kn = str(op.inputs[0]), str(op.inputs[1])
    tq, tk = (em.values[n].type.shape[0] for n in (qn, kn))
    steps: Steps = []
    n_loc = em.where.get(kn)
    if n_loc is None:
        n_loc = em.rows_buffer(kn, tk)
        rows = Rows.tile("t", tk, tile)
        fill = em.chain(part.kv, {}, rows, {kn: n_loc.at(rows.first)})
        steps.append(Loop("t", tk, tile, tuple(fill), f"{op.name}: tokens that stand for K and V"))
    up = next(o for o in part.q if o.outputs[0] == qn)
    down = next(o for o in part.after if o.inputs[0] == op.outputs[0])
    rows = Rows.tile("t", tq, query_tile)
    shared = tq == tk and any(kn in o.inputs for o in part.q)
    tiles: dict[str, Loc] = {kn: n_loc.at(rows.first)} if shared else {}
    before = [o for o in part.q if o is not up and not (shared and o in part.kv)]
    body: Steps = [*em.chain(before, tiles, rows, {})]
    q = em.location(str(up.inputs[0]), tiles, rows)
    assert q is not None
    out = down.outputs[0]
    o_tile = (
        target.at(rows.first)
        if out == region.target
        else em.rows_buffer(out, rows, f"{region.name}.o")
    )
    heads_of = _together if together else _one_by_one
    body += heads_of(em, op, (up, down), (q, n_loc, o_tile), rows)
    tiles[out] = o_tile
    rest = [o for o in part.after if o is not down]
    body += em.chain(rest, tiles, rows, {region.target: target.at(rows.first)})
    steps.append(Loop("t", tq, query_tile, tuple(body), f"{op.name}: queries"))
    return steps


def absorbed_together(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    return absorbed(em, region, target, choice, together=True)


def _head(loc: Loc, h: int, heads: int) -> Loc:
    """The columns of one head."""
    return loc.columns(h * loc.row_bytes // heads, loc.row_bytes // heads)


def _one_by_one(
    em: TaskEmitter, op: Op, layers: tuple[Op, Op], locs: tuple[Loc, Loc, Loc], rows: Rows
) -> Steps:
    """q', attention and W_v of one head after the other; the attention overwrites q'."""
    (up, down), (q, n, o), heads = layers, locs, op.attrs["heads"]
    steps: Steps = []
    for h in range(heads):
        up_h, down_h = em.head_group(up, h), em.head_group(down, h)
        wide = em.rows_buffer(up_h.outputs[0], rows, f"{op.name}.q{h}")
        steps.append(em.apply(up_h, [_head(q, h, heads), None], wide, rows))
        steps.append(em.attention(op, wide, n, n, wide, rows, h, 1, first_byte=h * wide.row_bytes))
        steps.append(em.apply(down_h, [wide, None], _head(o, h, heads), rows))
    return steps


def _together(
    em: TaskEmitter, op: Op, layers: tuple[Op, Op], locs: tuple[Loc, Loc, Loc], rows: Rows
) -> Steps:
    """q' of all heads, one attention call that overwrites it, W_v of all heads."""
    (up, down), (q, n, o), heads = layers, locs, op.attrs["heads"]
    wide = em.rows_buffer(up.outputs[0], rows, f"{op.name}.q")
    every = range(heads)
    ups = [em.head_group(up, h) for h in every]
    downs = [em.head_group(down, h) for h in every]
    steps: Steps = [
        em.apply(ups[h], [_head(q, h, heads), None], _head(wide, h, heads), rows) for h in every
    ]
    steps.append(em.attention(op, wide, n, n, wide, rows, 0, heads))
    steps += [
        em.apply(downs[h], [_head(wide, h, heads), None], _head(o, h, heads), rows) for h in every
    ]
    return steps
