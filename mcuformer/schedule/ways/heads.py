"""One head's K and V at a time: fewer bytes, and the norm before them once more per head."""

from __future__ import annotations

from mcuformer.program.calls import Loop
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.sides import head_chain, operand, shapes, sides


def head_by_head(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """One head's K and V at a time (2*T*d bytes) beside the rows of all heads' q, overwritten by the output.

    Row i of a head's output lands on row i of its q: token overwriting inside the attention.
    """
    op, tile = region.attention, choice.tile
    assert op is not None
    part = sides(region)
    tq, tk, heads, kd, vd = shapes(em, op)
    qn, kn, vn = (str(n) for n in op.inputs[:3])
    out = op.outputs[0]
    steps: Steps = []
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
        q_whole = operand(em, qn, {})
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
        steps.append(em.attention(op, q, k, v, y, Rows.all(tq), h, 1, first_byte=h * y.row_bytes))
    if out != region.target:
        name = "t"
        rows = Rows.tile(name, tq, tile)
        body = em.chain(
            part.after, {out: o.at(rows.first)}, rows, {region.target: target.at(rows.first)}
        )
        steps.append(Loop(name, tq, tile, tuple(body), f"{region.name}"))
    return steps
