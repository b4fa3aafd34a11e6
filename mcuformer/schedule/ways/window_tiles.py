"""Attention inside windows, K and V of one window whole and its queries in tiles: 2*n*Q bytes, not 4.

`windows` holds q, K, V and the output of a window's n rows at once. Here q and the output are a tile,
and so is what K and V are made of; a norm in front runs once more. A window is cut into equal pieces and
a last one, each with as many rows as its calls say: no piece has a single row, so that an operand
of one row is always one that is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps, Task
from mcuformer.schedule.ways.sides import sides
from mcuformer.schedule.ways.windows import window_rows

Body = Callable[[Expr, Rows], list[Task]]  # of the first row in the window, and the rows


def pieces(size: int, tile: int) -> tuple[int, int]:
    """How many tiles of `tile` rows begin a window of `size`, and the rows of the last piece.

    `tile` is 2 or more; the last piece has at most tile + 1 rows, and none of one.
    """
    count, rest = divmod(size, tile)
    return (count - 1, tile + 1) if rest == 1 and count else (count, rest)


def window_by_tiles(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Window by window: K and V of its rows, then its queries to the end of the region, tile by tile."""
    op = region.attention
    assert op is not None
    part, out, heads = sides(region), op.outputs[0], op.attrs["heads"]
    qn, kn, vn = (str(n) for n in op.inputs[:3])
    step, window, all_keys = window_rows(em, op)
    made = {o.outputs[0] for o in part.kv}
    kv = {n: em.rows_buffer(n, all_keys.full) for n in dict.fromkeys((kn, vn)) if n in made}
    bias = em.values[str(op.inputs[3])].type.shape[0] if op.inputs[3:] and op.inputs[3] else 1
    own_bias = window.first * heads if bias > heads else Expr()

    def keys(first: Expr, rows: Rows) -> list[Task]:
        return em.chain(part.kv, {}, rows, {n: loc.at(first) for n, loc in kv.items()})

    def queries(first: Expr, rows: Rows) -> list[Task]:
        tiles: dict[str, Loc] = {}
        tasks = em.chain(part.q, tiles, rows, {})
        q = em.location(qn, tiles, rows)
        k, v = (em.location(n, kv, all_keys) for n in (kn, vn))
        assert q is not None and k is not None and v is not None
        at = target.at(rows.first)
        tiles[out] = y = at if out == region.target else em.rows_buffer(out, rows)
        tasks.append(em.attention(op, q, k, v, y, rows, 0, heads, own_bias + first))
        return tasks + em.chain(part.after, tiles, rows, {region.target: at})

    body: Steps = []
    for what, calls, whole in (("K and V", keys, all_keys), ("queries", queries, window)):
        if what == "queries" or part.kv:
            body += in_tiles(whole, choice.tile, calls, f"{op.name}: {what}")
    total = op.attrs["windows"] * step
    return [Loop("t", total, step, tuple(body), f"{op.name}: windows of {window.full} rows")]


def in_tiles(window: Rows, tile: int, calls: Body, comment: str) -> Iterator[Task | Loop[Task]]:
    """`calls` for all rows of a window: a loop over equal tiles, and the last piece behind it."""
    count, rest = pieces(window.full, tile)
    if count:
        rows = Rows(window.first + var("u"), Expr(tile), tile, tile)
        yield Loop("u", count * tile, tile, tuple(calls(var("u"), rows)), comment)
    if rest:
        first = Expr(count * tile)
        yield from calls(first, Rows(window.first + first, Expr(rest), rest, rest))
