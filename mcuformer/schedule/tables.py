"""What one call costs under every tile and budget, kept from one network to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.operators.table import instructions_of, kernel_of
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.menus import Decided, Menus, attention_menus, linear_menus
from mcuformer.schedule.panels import keep, menu_of, numbered, remember, terms_of
from mcuformer.schedule.program import Work

Numbers = NDArray[np.int64]
Small = NDArray[np.int32]  # thousands of them are kept
Table = tuple[Numbers, Numbers]  # scratch in whole eights, instructions of all tiles together
Asked = tuple[Work, int]  # and its cost key
Entry = tuple[int, int, int]  # scratch bytes, instructions on a whole tile and on the last one
Name = tuple[int, int, int, int, int]
_GRIDS: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}  # tiles and budgets by numbers
_TABLES: dict[Name, Table] = {}


def tables(
    em: Emitter, asked: Sequence[Asked], tiles: tuple[int, ...], budgets: tuple[int, ...]
) -> list[Table]:
    """The tables of `asked`, each [tiles, budgets | 1]. All linear layers among them that are new are
    costed in one go: a dozen small arrays take as long as one that is a dozen times as large."""
    grid = numbered(_GRIDS, (tiles, budgets))
    names = [(key, w.heads, w.extent, w.decided_on, grid) for w, key in asked]
    known = {at: _TABLES[at] for at in names if at in _TABLES}
    new = {at: a for at, a in zip(names, asked, strict=True) if at not in known}
    linear = {at: a for at, a in new.items() if kernel_of(a[0].op).menu == "linear"}
    made = dict(zip(linear, _linear(em, [*linear.values()], tiles, budgets), strict=True))
    made |= {at: _table(em, *a, tiles, budgets) for at, a in new.items() if at not in linear}
    for at, table in made.items():
        keep(_TABLES, at, table)
    known |= made
    return [known[at] for at in names]


def _cut(work: Work, tiles: Sequence[int]) -> tuple[Numbers, Numbers, Numbers]:
    """Rows of a whole tile, how many of those, and rows of the last, shorter one (0: none)."""
    total = work.total or work.rows
    full = np.minimum(np.array(tiles if work.total else (total,), np.int64), total)
    return full, *np.divmod(total, full)


def _linear(
    em: Emitter, asked: Sequence[Asked], tiles: tuple[int, ...], budgets: tuple[int, ...]
) -> list[Table]:
    if not asked:
        return []
    cuts = [_cut(work, tiles) for work, _ in asked]
    rows = [full.tolist() for full, _, _ in cuts]
    menus = linear_menus([terms_of(work.op, em, key) for work, key in asked], rows)
    count, tail = (np.concatenate([c[i] for c in cuts]) for i in (1, 2))
    scratch, whole, last, first, second = _under(menus, tail, budgets)
    scratch, cost = (scratch + 7) & ~7, count[:, None] * whole + last
    made, at = [], 0
    for (work, key), own in zip(asked, rows, strict=True):
        part = slice(at, at := at + len(own))
        choices = Decided(menus.names, tuple(own), budgets, first[part], second[part])
        remember(key, work.heads, choices)
        made.append((scratch[part], cost[part]))
    return made


def _table(
    em: Emitter, work: Work, key: int, tiles: tuple[int, ...], budgets: tuple[int, ...]
) -> Table:
    full, count, tail = _cut(work, tiles)
    rows = full.tolist()
    if kernel_of(work.op).menu == "attention":
        menus = attention_menus(work.op, em, rows, together=work.heads != 1)
        scratch, whole, last, first, second = _under(menus, tail, budgets)
        remember(key, work.heads, Decided(menus.names, tuple(rows), budgets, first, second))
    else:
        scratch, whole, last = _listed(em, work, key, rows, tail.tolist(), budgets)
    if work.heads:
        heads = work.op.attrs["heads"]
        whole, last = (a * work.heads // heads for a in (whole, last))
    return (scratch + 7) & ~7, count[:, None] * whole + last


def _under(
    menus: Menus, tail: Numbers, budgets: tuple[int, ...]
) -> tuple[Numbers, Numbers, Numbers, Small, Small]:
    """Under every budget: scratch, instructions of a whole tile and of the last one, two choices."""
    at = menus.chosen(np.array(budgets, np.int64))
    scratch, whole = menus.scratch.take(at), menus.cost.take(at)
    first, second = (c.take(at) for c in menus.choices)
    last = np.zeros_like(whole)
    if tail.any():
        last = menus.instructions(tail[:, None], first, second) * (tail > 0)[:, None]
    return scratch, whole, last, first.astype(np.int32), second.astype(np.int32)


def _listed(
    em: Emitter, work: Work, key: int, full: list[int], tail: list[int], budgets: tuple[int, ...]
) -> tuple[Numbers, Numbers, Numbers]:
    """Scratch, instructions of a whole tile and of the last one, entry by entry."""
    chosen = []
    for rows, rest in zip(full, tail, strict=True):
        menu = entries(em, work, key, rows, rest)
        sizes = [e[0] for e in menu]
        chosen.append([menu[max(0, bisect_right(sizes, b) - 1)] for b in budgets])
    scratch, whole, last = np.moveaxis(np.array(chosen, np.int64), -1, 0)
    return scratch, whole, last


def entries(em: Emitter, work: Work, key: int, rows: int, tail: int) -> list[Entry]:
    """What a call can choose from, by rising scratch and falling instructions."""
    op, instructions = work.op, instructions_of(work.op, em.costs)
    if not kernel_of(op).menu:
        last = instructions(op, em, tail) if tail else 0
        return [(0, instructions(op, em, rows), last)]
    menu = menu_of(op, em, work.decided_on or rows, work.heads, key)
    return [
        (
            scratch,
            instructions(op, em, rows, **choices) if work.decided_on else whole,
            instructions(op, em, tail, **choices) if tail else 0,
        )
        for choices, scratch, whole in menu
    ]
