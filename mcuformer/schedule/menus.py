"""What the kernels of matrix products can choose from, for calls of several row counts at once.

A menu rises in scratch and falls in instructions. All entries of all row counts are costed in one go:
the search asks for a dozen row counts of layers that it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.kernels import attention, linear_cost
from mcuformer.kernels.shapes import Values

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
Menu = tuple[tuple[dict[str, int], int, int], ...]  # (choices, scratch bytes, instructions)
Numbers = NDArray[np.int64]
Cost = Callable[[Numbers, Numbers, Numbers], Numbers]  # instructions of (rows, two choices)
COST_BITS = 40  # of the instructions of one call


@dataclass(frozen=True, slots=True, eq=False)
class Menus:
    """One menu per row count. The two `choices`, `scratch` and `cost` are those of all entries that
    were thought of, [row counts, entries]; `kept` has the places of those that are worth it, as
    (row count, entry) in the order of the menus."""

    names: tuple[str, str]
    choices: tuple[Numbers, Numbers]
    scratch: Numbers
    cost: Numbers
    kept: tuple[Numbers, Numbers]
    instructions: Cost

    def listed(self) -> Menu:
        """The first menu, entry by entry."""
        at = self.kept[1][self.kept[0] == 0]
        columns = (a[0, at].tolist() for a in (*self.choices, self.scratch, self.cost))
        first, second = self.names
        return tuple(
            ({first: x, second: y}, scratch, cost)
            for x, y, scratch, cost in zip(*columns, strict=True)
        )

    def chosen(self, budgets: Numbers) -> tuple[Numbers, Numbers]:
        """Places [row counts, budgets] of the last entry that fits, the first where none does."""
        row, entry = self.kept
        since = np.searchsorted(budgets, self.scratch[row, entry])
        rank = np.zeros((len(self.scratch), len(budgets) + 1), np.int64)
        rank[row, since] = np.arange(len(row))
        rank[:, 0] = np.maximum(rank[:, 0], np.searchsorted(row, np.arange(len(rank))))
        rank = np.maximum.accumulate(rank, axis=1)[:, :-1]
        return row[rank], entry[rank]


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """The two choices for every row count and budget: [row counts, budgets]."""

    names: tuple[str, str]
    rows: tuple[int, ...]
    budgets: tuple[int, ...]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    def choices(self, rows: int, budget: int) -> dict[str, int] | None:
        if rows not in self.rows or budget not in self.budgets:
            return None
        at = self.rows.index(rows), self.budgets.index(budget)
        return {n: int(a[at]) for n, a in zip(self.names, (self.first, self.second), strict=True)}


def linear_menus(terms: linear_cost.Terms, rows: Sequence[int]) -> Menus:
    """No panel first; then every panel with two rows and with all rows expanded. What saves less than
    1/256 is not worth its scratch."""
    count = np.array(rows, np.int64)[:, None]
    panels = panels_of(terms.n)
    panel = np.array([0, *(p for p in panels for _ in range(2))], np.int64)[None]
    tile = np.full((len(rows), panel.shape[1]), 2, np.int64)
    tile[:, 2::2] = count + count % 2
    scratch = terms.scratch_bytes(count, panel, tile)
    cost = terms.instructions(count, panel, tile)
    choices = np.broadcast_to(panel, tile.shape), tile
    kept = _worthwhile(scratch, cost, (256, 255))
    return Menus(("panel", "tile"), choices, scratch, cost, kept, terms.instructions)


def panels_of(channels: int) -> dict[int, None]:
    """Channels that may be expanded at a time."""
    return dict.fromkeys((-(-channels // parts) + 3) & ~3 for parts in PARTS)


def attention_menus(op: Op, graph: Values, rows: Sequence[int], together: bool) -> Menus:
    """How many query rows, and heads of one call, share the expansion of K and V."""
    found = [attention.panel_choices(op, graph, r, together) for r in rows]
    most = max(map(len, found))
    padded = np.array([[*f, *f[-1:] * (most - len(f))] for f in found], np.int64)
    panel, merge = padded[:, :, 0], padded[:, :, 1]
    count = np.array(rows, np.int64)[:, None]
    scratch, cost = attention.figures(op, graph, count, panel, merge)
    kept = _worthwhile(scratch, cost, (1, 1))

    def instructions(rows: Numbers, panel: Numbers, merge: Numbers) -> Numbers:
        return attention.figures(op, graph, rows, panel, merge)[1]

    return Menus(("panel", "merge"), (panel, merge), scratch, cost, kept, instructions)


def _worthwhile(scratch: Numbers, cost: Numbers, ratio: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """By rising scratch, the first and every entry whose cost is less than `ratio` of all before."""
    order = np.argsort((scratch << COST_BITS) + cost, axis=1, kind="stable")
    cost = np.take_along_axis(cost, order, 1)
    better = np.ones(cost.shape, np.bool_)
    better[:, 1:] = cost[:, 1:] < np.minimum.accumulate(cost, axis=1)[:, :-1]
    row, place = np.nonzero(better)
    if ratio != (1, 1):
        kept = _by_steps(row.tolist(), cost[row, place].tolist(), *ratio)
        row, place = row[kept], place[kept]
    return row, order[row, place]


def _by_steps(rows: list[int], costs: list[int], times: int, less: int) -> list[int]:
    """Indices of the first entry of every row, and of those that are so much better than the last."""
    kept, before, bound = [], -1, 0
    for i, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        if row != before or cost * times < bound:
            kept.append(i)
            before, bound = row, cost * less
    return kept
