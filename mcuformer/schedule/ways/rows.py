"""A region without attention whose rows depend on the same rows of its inputs.

Rows that are wider than those of an input that dies may lie where it lies, too, if they are made from
the last one on: row i of the target begins behind row i - 1 of the input, which is read later. What
is made of a tile of the input has to lie aside first, since the two share bytes near the start. Where
nothing is made of it but the target, by a layer that reads rows again for every panel of weights, the tile
itself is copied aside (`Region.over`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcuformer.kernels.elementwise import copy_instructions
from mcuformer.operators.table import INT_OPS
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region, activations
from mcuformer.schedule.tasks import Steps, Task


def tokenwise(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """A region without attention: tiles of rows from the materialised inputs to the target."""
    tile, total = choice.tile, em.values[region.target].type.shape[0]
    if tile >= total:
        return _tile(em, region, target, Rows(Expr(), Expr(total), total, total))
    name = "t"
    make = Rows.tile_from_the_end if _widens(em, region, target) else Rows.tile
    rows = make(name, total, tile)
    body = _tile(em, region, target.at(rows.first), rows)
    return [Loop(name, total, tile, tuple(body), region.name)]


def _tile(em: TaskEmitter, region: Region, target: Loc, rows: Rows) -> Steps:
    copies: Steps = []
    tiles: dict[str, Loc] = {}
    for value in _copied(em, region, target):
        x, y = em.where[value].at(rows.first), em.rows_buffer(value, rows, f"{value}.aside")
        tiles[value] = y
        copies.append(
            Task(
                "mcf_copy",
                em.layer_ids[region.ops[-1].name],
                (x, y, x.row_bytes, rows.count),
                x.span(rows.count),
                y.span(rows.count),
                instructions=copy_instructions(x.row_bytes, rows.full),
            )
        )
    return [*copies, *em.chain(region.ops, tiles, rows, {region.target: target})]


def _copied(em: TaskEmitter, region: Region, target: Loc) -> list[str]:
    """What the operation that makes the target reads where it is written."""
    read = activations(em.graph, region.ops[-1]) if region.over else []
    return [n for n in read if n in em.where and em.where[n].buffer == target.buffer]


def over_copies(em: TaskEmitter, region: Region, dying: Sequence[Loc]) -> Loc | None:
    """The place of an input that dies row by row, and of which tiles are copied aside."""
    if not region.over or INT_OPS[region.ops[-1].kind].movement != "rows":
        return None
    read = [em.where[n] for o in region.ops for n in activations(em.graph, o) if n in em.where]
    row = em.row_bytes(region.target)
    for loc in dying:
        if sum(x.buffer == loc.buffer for x in read) > 1:
            continue
        if can_widen(em, region, loc):
            return widened(em, region, loc)
        if loc.row_bytes >= row:
            return replace(loc, stride=row, row_bytes=row)
    return None


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
    places = (em.where[n] for op in region.ops for n in op.inputs if n in em.where)
    return any(x.buffer == target.buffer and x.stride < target.stride for x in places)
