"""Attention of heads that all see near patches alone: K and V of as many lines as one query line sees.

K and V of line y lie at place y modulo `held` of a ring of 2 r + 1 lines, r being the largest radius, so
2 (2 r + 1) W Q bytes instead of 2 T Q. The first `held` lines are made, then the queries of the first r + 1
lines run; then line by line K and V of the next line, and the queries r lines behind it; last the queries
that are left. The target may lie over what K and V are made of: K and V of a line are made r lines before
its queries write it. A lap of the ring is a loop in a loop, so that all places are sums of loop variables; every loop
steps by the rows of one line, which price/measure.py counts its turns by.
"""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer.ir.graph import Op
from mcuformer.ir.neighbours import PATCH_GRID, RADII
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps, Task
from mcuformer.schedule.ways.sides import sides

RING = "ring"


def held_lines(op: Op) -> int:
    """Of K and V."""
    return 2 * max(op.attrs[RADII]) + 1


def ring_choices(em: TaskEmitter, region: Region) -> Iterator[Choice]:
    """One, or none: see `_can_ring`."""
    if region.attention is not None and _can_ring(em, region, region.attention):
        columns = region.attention.attrs[PATCH_GRID][1]
        yield Choice(RING, columns, columns)


def _can_ring(em: TaskEmitter, region: Region, op: Op) -> bool:
    """Whether all heads are near ones of a grid that is larger than the ring, and K and V are made here,
    of rows that the target at most overwrites row by row."""
    if not all(op.attrs.get(RADII, (0,))):
        return False
    (lines, columns), part = op.attrs[PATCH_GRID], sides(region)
    rows = em.values[str(op.inputs[1])].type.shape[0]
    made = {o.outputs[0] for o in part.kv}
    if rows != lines * columns or columns < 2 or lines <= held_lines(op):
        return False
    return made.issuperset(op.inputs[1:3]) and _keeps_step(em, region, part.kv)


def _keeps_step(em: TaskEmitter, region: Region, made: list[Op]) -> bool:
    """Whether what K and V are read from lies elsewhere than the target, or row by row in the same place."""
    target = em.where.get(region.target)
    if target is None:
        return True
    read = [em.where[str(n)] for o in made for n in o.inputs if n in em.where]
    over = [x for x in read if x.buffer == target.buffer]
    return all(x.start == target.start and x.stride == target.stride for x in over)


def ring_of_lines(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    op = region.attention
    assert op is not None
    part, out, heads = sides(region), op.outputs[0], op.attrs["heads"]
    (lines, columns), held, near = op.attrs[PATCH_GRID], held_lines(op), max(op.attrs[RADII])
    qn, kn, vn = (str(n) for n in op.inputs[:3])
    ring = {n: em.rows_buffer(n, held * columns) for n in dict.fromkeys((kn, vn))}

    def line(first: Expr) -> Rows:
        return Rows(first, Expr(columns), columns, columns)

    def keys(first: Expr, place: Expr) -> list[Task]:
        return em.chain(part.kv, {}, line(first), {n: loc.at(place) for n, loc in ring.items()})

    def queries(first: Expr) -> list[Task]:
        rows, tiles = line(first), dict[str, Loc]()
        tasks = em.chain(part.q, tiles, rows, {})
        q = em.location(qn, tiles, rows)
        assert q is not None
        at = target.at(rows.first)
        tiles[out] = y = at if out == region.target else em.rows_buffer(out, rows)
        tasks.append(em.attention(op, q, ring[kn], ring[vn], y, rows, 0, heads, held=held))
        return tasks + em.chain(part.after, tiles, rows, {region.target: at})

    def lap(start: Expr) -> tuple[Task, ...]:
        """K and V of a line behind the ring's `start` + u rows, and the queries that see it as the last one."""
        made = start + var("u")
        return (*keys(made + held * columns, var("u")), *queries(made + (near + 1) * columns))

    laps, rest = divmod(lines - held, held)
    t, size = var("t"), held * columns
    steps: Steps = [
        Loop("t", size, columns, tuple(keys(t, t)), f"{op.name}: K and V of the first lines"),
        Loop("t", (near + 1) * columns, columns, tuple(queries(t)), f"{op.name}: their queries"),
    ]
    if laps:
        inner: Loop[Task] = Loop("u", size, columns, lap(t * held), f"{op.name}: K and V, queries")
        steps.append(Loop("t", laps * columns, columns, (inner,), f"{op.name}: laps of the ring"))
    if rest:
        last = lap(Expr(laps * size))
        steps.append(Loop("u", rest * columns, columns, last, f"{op.name}: K and V, queries"))
    tail = queries(t + (lines - near) * columns)
    steps.append(Loop("t", near * columns, columns, tuple(tail), f"{op.name}: the last queries"))
    return steps
