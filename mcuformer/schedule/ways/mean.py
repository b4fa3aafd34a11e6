"""Means and other statistics over tokens: rows are summed as they are made."""

from __future__ import annotations

from mcuformer.operators.table import kernel_of
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Job, Steps, Task


def mean(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Row-wise operations before a mean over tokens run in tiles that add to its sums."""
    op = region.ops[-1]
    kernel = kernel_of(op)
    assert kernel.sums is not None
    size = kernel.sums.bytes(op, em)
    x_name = str(op.inputs[0])
    t = em.values[x_name].type
    tile = min(choice.tile, t.shape[0])
    acc = Loc(Expr(), size, size, em.buffer(f"{op.name}.sums", size))
    rows = Rows.tile("t", t.shape[0], tile)
    tiles: dict[str, Loc] = {}
    body = em.chain(region.ops[:-1], tiles, rows, {})
    x = em.location(x_name, tiles, rows)
    assert x is not None
    layer, one = em.layer_ids[op.name], Rows.all(1)
    sums, job = acc.span(one.count), Job(op, rows.full, rows.total)
    start = Task(
        "mcf_zero", layer, (acc.addr, Expr(acc.row_bytes)), (), sums,
        instructions=acc.row_bytes // 4 + 8,
    )  # fmt: skip
    body.append(
        Task(
            kernel.function,
            layer,
            (x.addr, Expr(x.stride), rows.first, rows.count, acc.addr),
            x.span(rows.count) + sums,
            sums,
            job,
            packed=job,
            overwrites=True,
        )
    )
    finish = Task(
        kernel.sums.finish,
        layer,
        (acc.addr, target.addr),
        sums,
        target.span(one.count),
        packed=job,
        shown=(op.outputs[0], target, one, 0),
        instructions=kernel.sums.instructions(op, em),
    )
    return [start, Loop("t", t.shape[0], tile, tuple(body), f"{op.name}: sums over tokens"), finish]
