"""The ways to run an attention block (design section 3): a trade of SRAM against work.

Every emitter here returns steps that end with the region's target rows; all of them are
bit-identical to the op-by-op graph except `absorbed`, which quant/ rewrites into a graph of its own.
"""

from __future__ import annotations

from dataclasses import replace

from mcuformer.ir.graph import Op
from mcuformer.program.calls import Loop, Step
from mcuformer.program.expressions import Expr
from mcuformer.schedule.columns import can_cut, column_view, cut_activations
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Region, ancestors
from mcuformer.util.record import record


@record(frozen=True, slots=True)
class Sides:
    """The operations of an attention region by the operand they feed, and those behind the attention."""

    q: list[Op]
    k: list[Op]
    v: list[Op]
    after: list[Op]

    @property
    def kv(self) -> list[Op]:
        """K and V together, what they share once."""
        return list(dict.fromkeys([*self.k, *self.v]))


def sides(region: Region) -> Sides:
    op = region.attention
    assert op is not None
    q, k, v = (ancestors(region.ops, str(name)) for name in op.inputs[:3])
    before = {id(o) for o in (*q, *k, *v)} | {id(op)}
    return Sides(q, k, v, [o for o in region.ops if id(o) not in before])


def head_chain(
    em: Emitter, ops: list[Op], value: str, head: int, width: int
) -> tuple[list[Op], str]:
    """The chain `ops` that ends in `value`, restricted to a head's channels back to its linear layer.

    Where the program is not priced, all heads take those of the first, which need the same.
    """
    head = head if em.priced else 0
    return columns_chain(em, ops, value, head * width, (head + 1) * width)


def columns_chain(
    em: Emitter, ops: list[Op], value: str, start: int, stop: int
) -> tuple[list[Op], str]:
    """What of `ops` makes channels [start, stop) of `value`, and the value that holds them."""
    if (start, stop) == (0, em.values[value].type.shape[-1]):
        return ancestors(ops, value), value
    op = next((o for o in ops if o.outputs[0] == value), None)
    if op is None or not can_cut(em.values, op, start, stop):
        view = column_view(em.values, value, start, stop)
        return [*ancestors(ops, value), view], view.outputs[0]
    along = cut_activations(em.values, op)
    chain = [o for n in op.inputs if n is not None and n not in along for o in ancestors(ops, n)]
    parts: dict[str, str] = {}
    for name in along:
        before, parts[name] = columns_chain(em, ops, name, start, stop)
        chain += before
    part = em.columns(op, start, stop, parts)
    return [*dict.fromkeys(chain), part], part.outputs[0]


def _operand(em: Emitter, value: str, locs: dict[str, Loc]) -> Loc:
    if em.values[value].is_const:
        return em.constant(value)
    return locs[value] if value in locs else em.where[value]


def shapes(em: Emitter, op: Op) -> tuple[int, int, int, int, int]:
    """Tq, Tk, heads, bytes of a head's q and k row, bytes of a head's v row."""
    q, k, v = (em.values[str(n)].type for n in op.inputs[:3])
    heads = op.attrs["heads"]
    return (
        q.shape[0],
        k.shape[0],
        heads,
        k.size_bytes // max(1, k.shape[0]) // heads,
        v.size_bytes // max(1, v.shape[0]) // heads,
    )


def keep_kv(em: Emitter, region: Region, target: Loc, tile: int, query_tile: int) -> list[Step]:
    """K and V of all heads exist whole (2*T*Q bytes); queries run in tiles to the end of the region."""
    op = region.attention
    assert op is not None
    part = sides(region)
    _, tk, heads, _, _ = shapes(em, op)
    kn, vn = (str(n) for n in op.inputs[1:3])
    steps: list[Step] = []
    whole = {n: em.rows_buffer(n, tk) for n in dict.fromkeys((kn, vn)) if n not in em.where}
    if part.kv:
        name = "t"
        rows = Rows.tile(name, tk, tile)
        out = {n: loc.at(rows.first) for n, loc in whole.items()}
        steps.append(
            Loop(name, tk, tile, tuple(em.chain(part.kv, {}, rows, out)), f"{op.name}: K and V")
        )
    k, v = _operand(em, kn, whole), _operand(em, vn, whole)
    steps += query_loop(em, region, part, k, v, target, query_tile, heads)
    return steps


def query_loop(
    em: Emitter,
    region: Region,
    part: Sides,
    k: Loc,
    v: Loc,
    target: Loc,
    query_tile: int,
    heads: int,
) -> list[Step]:
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


def head_by_head(
    em: Emitter, region: Region, target: Loc, tile: int, query_tile: int
) -> list[Step]:
    """One head's K and V at a time (2*T*d bytes) beside the rows of all heads' q, overwritten by the output.

    Row i of a head's output lands on row i of its q: token overwriting inside the attention.
    """
    op = region.attention
    assert op is not None
    part = sides(region)
    tq, tk, heads, kd, vd = shapes(em, op)
    qn, kn, vn = (str(n) for n in op.inputs[:3])
    out = op.outputs[0]
    steps: list[Step] = []
    o = target if out == region.target else em.rows_buffer(out, tq)
    if part.q:
        q_whole = o if em.row_bytes(qn) == em.row_bytes(out) else em.rows_buffer(qn, tq)
        name = "t"
        rows = Rows.tile(name, tq, tile)
        steps.append(
            Loop(
                name,
                tq,
                tile,
                tuple(em.chain(part.q, {}, rows, {qn: q_whole.at(rows.first)})),
                f"{op.name}: q of all heads",
            )
        )
    else:
        q_whole = _operand(em, qn, {})
    item = em.values[kn].type.size_bytes // max(1, tk * heads)
    assert item
    k_width = em.values[kn].type.shape[1] // heads
    v_width = em.values[vn].type.shape[1] // heads
    kv_whole: dict[str, Loc] = {}
    for h in range(heads):
        kops, kv_k = head_chain(em, part.k, kn, h, k_width) if part.k else ([], None)
        vops, kv_v = head_chain(em, part.v, vn, h, v_width) if part.v else ([], None)
        for n, whole, base in ((kv_k, kn, "k"), (kv_v, vn, "v")):
            if n is not None and whole not in kv_whole:
                kv_whole[whole] = em.rows_buffer(n, tk, f"{op.name}.{base}")
        ops = list(dict.fromkeys([*kops, *vops]))
        if ops:
            name = "t"
            rows = Rows.tile(name, tk, tile)
            dest = {
                n: kv_whole[whole].at(rows.first)
                for n, whole in ((kv_k, kn), (kv_v, vn))
                if n is not None
            }
            steps.append(
                Loop(
                    name,
                    tk,
                    tile,
                    tuple(em.chain(ops, {}, rows, dest)),
                    f"{op.name}: K, V of head {h}",
                )
            )
        k = kv_whole[kn] if kv_k is not None else em.where[kn].columns(h * kd, kd)
        v = kv_whole[vn] if kv_v is not None else em.where[vn].columns(h * vd, vd)
        q = q_whole.columns(h * (q_whole.row_bytes // heads), q_whole.row_bytes // heads)
        y = o.columns(h * (o.row_bytes // heads), o.row_bytes // heads)
        call = em.attention(op, q, k, v, y, Rows.all(tq), h, 1)
        trace = em.trace(out, y, Rows.all(tq), h * y.row_bytes)
        steps.append(replace(call, trace=trace) if call.trace else call)
    if out != region.target:
        name = "t"
        rows = Rows.tile(name, tq, tile)
        body = em.chain(
            part.after, {out: o.at(rows.first)}, rows, {region.target: target.at(rows.first)}
        )
        steps.append(Loop(name, tq, tile, tuple(body), f"{region.name}"))
    return steps


def absorbed(
    em: Emitter,
    region: Region,
    target: Loc,
    tile: int,
    query_tile: int,
    together: bool = False,
) -> list[Step]:
    """Scores against the normalised tokens N themselves (T*E bytes): no K, no V (quant/absorb.py).

    Per tile of queries and head: q' = Wk^T q, softmax(q' N^T) N, Wv; then what follows. `together`:
    all heads of a tile in one attention call, which expands N once for them.
    """
    op = region.attention
    assert op is not None
    part = sides(region)
    qn, kn = str(op.inputs[0]), str(op.inputs[1])
    tq, tk = (em.values[n].type.shape[0] for n in (qn, kn))
    steps: list[Step] = []
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
    body: list[Step] = [*em.chain(before, tiles, rows, {})]
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


def absorbed_together(
    em: Emitter, region: Region, target: Loc, tile: int, query_tile: int
) -> list[Step]:
    return absorbed(em, region, target, tile, query_tile, together=True)


def _head(loc: Loc, h: int, heads: int) -> Loc:
    """The columns of one head."""
    return loc.columns(h * loc.row_bytes // heads, loc.row_bytes // heads)


def _one_by_one(
    em: Emitter, op: Op, layers: tuple[Op, Op], locs: tuple[Loc, Loc, Loc], rows: Rows
) -> list[Step]:
    """q', attention and W_v of one head after the other; the attention overwrites q'."""
    (up, down), (q, n, o), heads = layers, locs, op.attrs["heads"]
    steps: list[Step] = []
    for h in range(heads):
        up_h, down_h = em.head_group(up, h), em.head_group(down, h)
        wide = em.rows_buffer(up_h.outputs[0], rows, f"{op.name}.q{h}")
        steps.append(em.apply(up_h, [_head(q, h, heads), None], wide, rows))
        call = em.attention(op, wide, n, n, wide, rows, h, 1)
        trace = em.trace(op.outputs[0], wide, rows, h * wide.row_bytes)
        steps.append(replace(call, trace=trace) if trace else call)
        steps.append(em.apply(down_h, [wide, None], _head(o, h, heads), rows))
    return steps


def _together(
    em: Emitter, op: Op, layers: tuple[Op, Op], locs: tuple[Loc, Loc, Loc], rows: Rows
) -> list[Step]:
    """q' of all heads, one attention call that overwrites it, W_v of all heads."""
    (up, down), (q, n, o), heads = layers, locs, op.attrs["heads"]
    wide = em.rows_buffer(up.outputs[0], rows, f"{op.name}.q")
    every = range(heads)
    ups = [em.head_group(up, h) for h in every]
    downs = [em.head_group(down, h) for h in every]
    steps: list[Step] = [
        em.apply(ups[h], [_head(q, h, heads), None], _head(wide, h, heads), rows) for h in every
    ]
    steps.append(em.attention(op, wide, n, n, wide, rows, 0, heads))
    steps += [
        em.apply(downs[h], [_head(wide, h, heads), None], _head(o, h, heads), rows) for h in every
    ]
    return steps


def windowed(em: Emitter, region: Region, target: Loc, tile: int, query_tile: int) -> list[Step]:
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


def tokenwise(em: Emitter, region: Region, target: Loc, tile: int) -> list[Step]:
    """A region without attention: tiles of rows from the materialised inputs to the target."""
    total = em.values[region.target].type.shape[0]
    if tile >= total:
        rows = Rows(Expr(), Expr(total), total, total)
        return list(em.chain(region.ops, {}, rows, {region.target: target}))
    name = "t"
    rows = Rows.tile(name, total, tile)
    body = em.chain(region.ops, {}, rows, {region.target: target.at(rows.first)})
    return [Loop(name, total, tile, tuple(body), region.name)]
