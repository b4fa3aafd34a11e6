"""What the kernels of matrix products can choose from, for calls of several row counts at once.

A menu rises in scratch and falls in instructions. All entries of all row counts are costed in one go:
the search asks for a dozen row counts of layers that it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.kernels import linear_cost
from mcuformer.kernels import near_attention as attention
from mcuformer.kernels.shapes import Values
from mcuformer.util.speed import keep

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
Menu = tuple[tuple[dict[str, int], int, int], ...]  # (choices, scratch bytes, instructions)
Counts = NDArray[np.int64]
Pair = tuple[Counts, Counts]
CostFunction = Callable[[Counts, Counts, Counts], Counts]  # instructions of (rows, two choices)


@dataclass(frozen=True, slots=True, eq=False)
class Menus:
    """One menu per row count. The two `choices`, `scratch` and `cost` are those of all entries that
    were thought of, [row counts, entries]; `kept` has those that are worth it in the order of the
    menus, as (row count, place in the flattened tables)."""

    names: tuple[str, str]
    choices: tuple[Counts, Counts]
    scratch: Counts
    cost: Counts
    kept: tuple[Counts, Counts]
    instructions: CostFunction

    def listed(self) -> Menu:
        """The first menu, entry by entry."""
        at = self.kept[1][self.kept[0] == 0]
        columns = (a.take(at).tolist() for a in (*self.choices, self.scratch, self.cost))
        first, second = self.names
        return tuple(
            ({first: x, second: y}, scratch, cost)
            for x, y, scratch, cost in zip(*columns, strict=True)
        )

    def chosen(self, budgets: Counts) -> Counts:
        """Places [row counts, budgets] in the flattened tables: the last entry that fits, the first
        where none does."""
        row, place = self.kept
        count = len(self.scratch)
        rank = np.zeros((count, len(budgets) + 1), np.int64)
        rank[row, budgets.searchsorted(self.scratch.take(place))] = np.arange(len(row))
        np.maximum(rank[:, 0], row.searchsorted(np.arange(count)), out=rank[:, 0])
        return place.take(np.maximum.accumulate(rank, axis=1)[:, :-1])


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
        row, column = self.rows.index(rows), self.budgets.index(budget)
        first, second = self.names
        return {first: self.first.item(row, column), second: self.second.item(row, column)}


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What menus are made of, (first choice, second choice), each [row counts, entries]; those asked
    for before are kept, and not to be changed."""

    linear_layers: dict[tuple[int, tuple[int, ...]], Pair] = field(default_factory=dict)
    attentions: dict[tuple[tuple[int, ...], tuple[int, ...]], Pair] = field(default_factory=dict)

    def linear(self, channels: int, rows: tuple[int, ...]) -> Pair:
        """(panel, tile)."""
        key = channels, rows
        if key not in self.linear_layers:
            panels = [0, *(p for p in panels_of(channels) for _ in range(2))]
            count = np.array(rows, np.int64)[:, None]
            tile = np.full((len(rows), len(panels)), 2, np.int64)
            tile[:, 2::2] = count + count % 2
            panel = np.tile(np.array(panels, np.int64), (len(rows), 1))
            return keep(self.linear_layers, key, (panel, tile))
        return self.linear_layers[key]

    def attention(self, merges: Sequence[int], rows: tuple[int, ...]) -> Pair:
        """(panel, merge), the last entry repeated."""
        key = tuple(merges), rows
        if key not in self.attentions:
            found = [[(p, m) for m in merges for p in attention.panels(r)] for r in rows]
            most = max(map(len, found))
            padded = np.array([[*f, *f[-1:] * (most - len(f))] for f in found], np.int64)
            return keep(self.attentions, key, (padded[:, :, 0].copy(), padded[:, :, 1].copy()))
        return self.attentions[key]


def linear_menus(
    layers: Sequence[linear_cost.Terms], rows: Sequence[Sequence[int]], entries: Entries
) -> Menus:
    """The menus of every layer for its row counts, one after the other.

    No panel first; then every panel with two rows and with all rows expanded. What saves less than
    1/256 is not worth its scratch.
    """
    panel, tile = _stack([entries.linear(t.n, tuple(r)) for t, r in zip(layers, rows, strict=True)])
    terms = linear_cost.Terms.stack(layers, [len(r) for r in rows])
    count = np.array([n for r in rows for n in r], np.int64)[:, None]
    scratch = terms.scratch_bytes(count, panel, tile)
    cost = terms.instructions(count, panel, tile)
    kept = _worthwhile(scratch, cost, (256, 255))
    return Menus(("panel", "tile"), (panel, tile), scratch, cost, kept, terms.instructions)


def _stack(entries: Sequence[Pair]) -> Pair:
    """One below the other; short ones repeat their last entry, which no menu takes twice."""
    if len(entries) == 1:
        return entries[0]
    width = max(first.shape[1] for first, _ in entries)
    shape = sum(len(first) for first, _ in entries), width
    made = np.empty(shape, np.int64), np.empty(shape, np.int64)
    at = 0
    for pair in entries:
        stop = at + len(pair[0])
        for whole, part in zip(made, pair, strict=True):
            whole[at:stop, : part.shape[1]] = part
            whole[at:stop, part.shape[1] :] = part[:, -1:]
        at = stop
    return made


def panels_of(channels: int) -> dict[int, None]:
    """Channels that may be expanded at a time."""
    return dict.fromkeys((-(-channels // parts) + 3) & ~3 for parts in PARTS)


def attention_menus(
    op: Op, graph: Values, rows: Sequence[int], together: bool, entries: Entries
) -> Menus:
    """How many query rows, and heads of one call, share the expansion of K and V."""
    panel, merge = entries.attention(attention.merges(op, graph, together), tuple(rows))
    count = np.array(rows, np.int64)[:, None]
    scratch, cost = attention.figures(op, graph, count, panel, merge)
    kept = _worthwhile(scratch, cost, (1, 1))

    def instructions(rows: Counts, panel: Counts, merge: Counts) -> Counts:
        return attention.figures(op, graph, rows, panel, merge)[1]

    return Menus(("panel", "merge"), (panel, merge), scratch, cost, kept, instructions)


def _worthwhile(scratch: Counts, cost: Counts, ratio: tuple[int, int]) -> tuple[Counts, Counts]:
    """By rising scratch, the first and every entry whose cost is less than `ratio` of all before."""
    count, width = cost.shape
    order = order_by(scratch, cost)
    order += np.arange(0, count * width, width)[:, None]
    ordered = cost.take(order)
    better = np.ones(cost.shape, np.bool_)
    np.less(ordered[:, 1:], np.minimum.accumulate(ordered, axis=1)[:, :-1], out=better[:, 1:])
    row, place = better.nonzero()[0], order[better]
    if ratio != (1, 1):
        kept = np.array(_by_steps(row.tolist(), cost.take(place).tolist(), *ratio))
        row, place = row[kept], place[kept]
    return row, place


def order_by(first: Counts, second: Counts) -> NDArray[np.intp]:
    """Indices along the last axis that sort by `first`, then by `second`, neither negative: both in
    one number, which sorts four times as fast as np.lexsort, where it has room for them."""
    bits = int(second.max(initial=0)).bit_length()
    if int(first.max(initial=0)).bit_length() + bits > 63:
        return np.lexsort((second, first))
    return ((first << bits) + second).argsort(axis=-1, kind="stable")


def _by_steps(rows: list[int], costs: list[int], times: int, less: int) -> list[int]:
    """Indices of the first entry of every row, and of those that are so much better than the last."""
    kept, before, bound = [], -1, 0
    for i, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        if row != before or cost * times < bound:
            kept.append(i)
            before, bound = row, cost * less
    return kept
