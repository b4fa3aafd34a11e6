"""A region without attention whose rows depend on the same rows of its inputs."""

from __future__ import annotations

from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps


def tokenwise(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """A region without attention: tiles of rows from the materialised inputs to the target."""
    tile, total = choice.tile, em.values[region.target].type.shape[0]
    if tile >= total:
        rows = Rows(Expr(), Expr(total), total, total)
        return list(em.chain(region.ops, {}, rows, {region.target: target}))
    name = "t"
    rows = Rows.tile(name, total, tile)
    body = em.chain(region.ops, {}, rows, {region.target: target.at(rows.first)})
    return [Loop(name, total, tile, tuple(body), region.name)]
