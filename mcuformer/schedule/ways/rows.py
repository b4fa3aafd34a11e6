"""A region without attention whose rows depend on the same rows of its inputs.

Rows that are wider than those of an input that dies may lie where it lies, too, if they are made from
the last one on: row i of the target begins behind row i - 1 of the input, which is read later. What
is made of a tile of the input has to lie aside first, since the two share bytes near the start.
"""

from __future__ import annotations

from dataclasses import replace

from mcuformer.operators.table import INT_OPS
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region, activations
from mcuformer.schedule.tasks import Steps


def tokenwise(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """A region without attention: tiles of rows from the materialised inputs to the target."""
    tile, total = choice.tile, em.values[region.target].type.shape[0]
    if tile >= total:
        rows = Rows(Expr(), Expr(total), total, total)
        return list(em.chain(region.ops, {}, rows, {region.target: target}))
    name = "t"
    make = Rows.tile_from_the_end if _widens(em, region, target) else Rows.tile
    rows = make(name, total, tile)
    body = em.chain(region.ops, {}, rows, {region.target: target.at(rows.first)})
    return [Loop(name, total, tile, tuple(body), region.name)]


def can_widen(em: TaskEmitter, region: Region, source: Loc) -> bool:
    """Whether the target's rows are wider than those of `source`, and may be made in any order."""
    by_rows = region.attention is None and not region.modulates and region.target not in em.leaving
    if not by_rows or INT_OPS[region.ops[-1].kind].movement != "rows":
        return False
    mine = em.buffers[str(source.buffer)].kind == "activation" and source.start == Expr()
    return mine and em.row_bytes(region.target) > source.row_bytes


def widened(em: TaskEmitter, region: Region, source: Loc) -> Loc:
    """The place of the target over `source`, whose buffer is made long enough."""
    buffer, row = em.buffers[str(source.buffer)], em.row_bytes(region.target)
    size = max(buffer.size_bytes, em.values[region.target].type.shape[0] * row)
    em.buffers[buffer.name] = replace(buffer, size_bytes=size)
    return replace(source, stride=row, row_bytes=row)


def _widens(em: TaskEmitter, region: Region, target: Loc) -> bool:
    """Whether an input with narrower rows lies where the target is written."""
    read = {n for op in region.ops for n in activations(em.graph, op)}
    places = (em.where[n] for n in read if n in em.where)
    return any(x.buffer == target.buffer and x.stride < target.stride for x in places)
