"""What one task costs under every tile and budget, kept from one network to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.operators.table import kernel_of
from mcuformer.price.book import CostBook, CostTable, Key, weight_bytes_read
from mcuformer.price.menus import Counts, Decided, Menus, attention_menus, linear_menus
from mcuformer.schedule.state import State
from mcuformer.schedule.tasks import Job
from mcuformer.util.speed import keep

Small = NDArray[np.int32]  # thousands of them are kept
Asked = tuple[Job, Key]  # and its cost key
NewLayer = tuple[Job, Key, State, tuple[int, ...]]  # with its cost key and tiles
Entry = tuple[int, int, int, int]  # least budget, scratch, cost of a whole tile and of the last


def tables(
    book: CostBook,
    em: State,
    asked: Sequence[Asked],
    tiles: tuple[int, ...],
    budgets: tuple[int, ...],
) -> list[CostTable]:
    """The tables of `asked`, each [tiles, budgets | 1]; what is read, [tiles, 1]."""
    names = _names(asked, tiles, budgets)
    found = {at: book.tables[at] for at in names if at in book.tables}
    for at, (job, key) in zip(names, asked, strict=True):
        if at not in found:
            found[at] = keep(book.tables, at, _table(book, em, job, key, tiles, budgets))
    return [found[at] for at in names]


def learn(
    book: CostBook,
    asked: Iterable[tuple[State, Sequence[Asked], tuple[int, ...]]],
    budgets: tuple[int, ...],
) -> None:
    """Cost all linear layers that are new among those that will be asked for, each with its tiles, in
    one go: a dozen small arrays take as long as one that is a dozen times as large."""
    new: dict[Key, NewLayer] = {}
    for em, jobs, tiles in asked:
        for at, (job, key) in zip(_names(jobs, tiles, budgets), jobs, strict=True):
            if at not in book.tables and _is_linear(job):
                new[at] = (job, key, em, tiles)
    if new:
        for at, table in zip(new, _linear(book, [*new.values()], budgets), strict=True):
            keep(book.tables, at, table)


def _names(asked: Sequence[Asked], tiles: tuple[int, ...], budgets: tuple[int, ...]) -> list[Key]:
    return [(key, j.heads, j.extent, j.decided_on, j.lines, tiles, budgets) for j, key in asked]


def _is_linear(job: Job) -> bool:
    """Whether its cost is that of a linear layer's whole outputs."""
    return kernel_of(job.op).menu == "linear" and not job.lines


def _cut(job: Job, tiles: Sequence[int]) -> tuple[Counts, Counts, Counts]:
    """Rows of a whole tile, how many of those, and rows of the last, shorter one (0: none)."""
    total = job.total or job.rows
    full = np.minimum(np.array(tiles if job.total else (total,), np.int64), total)
    return full, *np.divmod(total, full)


def _reads(job: Job, em: State, rows: Counts, calls: Counts) -> Counts | None:
    """Bytes of weights that so many calls read, the last, shorter one as many as a whole one."""
    read = weight_bytes_read(job, em, rows)
    return None if isinstance(read, int) and read == 0 else calls * read


def _linear(
    book: CostBook, layers: Sequence[NewLayer], budgets: tuple[int, ...]
) -> list[CostTable]:
    cuts = [_cut(job, tiles) for job, _, _, tiles in layers]
    rows = [full.tolist() for full, _, _ in cuts]
    terms = [book.terms_of(job.op, em, key) for job, key, em, _ in layers]
    menus = linear_menus(terms, rows, book.entries)
    count, tail = (np.concatenate([c[i] for c in cuts]) for i in (1, 2))
    scratch, whole, last, first, second = _under(menus, tail, budgets)
    scratch, cost = (scratch + 7) & ~7, count[:, None] * whole + last
    calls = (count + (tail > 0))[:, None]
    made, at = [], 0
    for (job, key, em, _), own, (full, _, _) in zip(layers, rows, cuts, strict=True):
        part = slice(at, at := at + len(own))
        choices = Decided(menus.names, tuple(own), budgets, first[part], second[part])
        keep(book.decided, (key, job.heads == 1), choices)
        made.append((scratch[part], cost[part], _reads(job, em, full[:, None], calls[part])))
    return made


def _table(
    book: CostBook,
    em: State,
    job: Job,
    key: Key,
    tiles: tuple[int, ...],
    budgets: tuple[int, ...],
) -> CostTable:
    if _is_linear(job):
        return _linear(book, [(job, key, em, tiles)], budgets)[0]
    full, count, tail = _cut(job, tiles)
    rows = full.tolist()
    read = _reads(job, em, full[:, None], (count + (tail > 0))[:, None])
    if kernel_of(job.op).menu != "attention":
        scratch, whole, last = _listed(book, em, job, key, rows, tail.tolist(), budgets)
        return (scratch + 7) & ~7, count[:, None] * whole + last, read
    menus = attention_menus(job.op, em, rows, job.heads != 1, book.entries)
    scratch, whole, last, first, second = _under(menus, tail, budgets)
    decided = Decided(menus.names, tuple(rows), budgets, first, second)
    keep(book.decided, (key, job.heads == 1), decided)
    heads = job.op.attrs["heads"]
    whole, last = (a * job.heads // heads for a in (whole, last))
    return (scratch + 7) & ~7, count[:, None] * whole + last, read


def _under(
    menus: Menus, tail: Counts, budgets: tuple[int, ...]
) -> tuple[Counts, Counts, Counts, Small, Small]:
    """Under every budget: scratch, instructions of a whole tile and of the last one, two choices."""
    at = menus.chosen(np.array(budgets, np.int64))
    scratch, whole = menus.scratch.take(at), menus.cost.take(at)
    first, second = (c.take(at) for c in menus.choices)
    last = np.zeros_like(whole)
    if tail.any():
        last = menus.instructions(tail[:, None], first, second) * (tail > 0)[:, None]
    return scratch, whole, last, first.astype(np.int32), second.astype(np.int32)


def _listed(
    book: CostBook,
    em: State,
    job: Job,
    key: Key,
    full: list[int],
    tail: list[int],
    budgets: tuple[int, ...],
) -> tuple[Counts, Counts, Counts]:
    """Scratch, instructions of a whole tile and of the last one, entry by entry."""
    chosen = []
    for rows, rest in zip(full, tail, strict=True):
        menu = entries(book, em, job, key, rows, rest)
        sizes = [e[0] for e in menu]
        chosen.append([menu[max(0, bisect_right(sizes, b) - 1)] for b in budgets])
    scratch, whole, last = np.moveaxis(np.array(chosen, np.int64), -1, 0)[1:]
    return scratch, whole, last


def entries(book: CostBook, em: State, job: Job, key: Key, rows: int, tail: int) -> list[Entry]:
    """What a call can choose from, by rising budget and falling instructions."""
    if not kernel_of(job.op).menu:
        last = book.instructions(job, em, tail, {}) if tail else 0
        return [(0, 0, book.instructions(job, em, rows, {}), last)]
    return [
        (
            least,
            book.scratch_bytes(job, em, choices) if job.lines else least,
            book.instructions(job, em, rows, choices) if job.decided_on or job.lines else whole,
            book.instructions(job, em, tail, choices) if tail else 0,
        )
        for choices, least, whole in book.menu(job.op, em, job.decided_on or rows, job.heads, key)
    ]
