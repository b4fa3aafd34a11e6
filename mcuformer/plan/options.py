"""What a region can choose from: its schedules, tiles and budgets of scratch.

Each region is emitted under every schedule; the peak of its own bytes and its instructions are kept
where no other choice is better in both (plan/curve.py makes the model's curve of them).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mcuformer.price.measure import (
    draft,
    draft_windows,
    peak_bytes,
    steps_instructions,
    window_peak,
)
from mcuformer.price.menus import order_by
from mcuformer.program.calls import Step
from mcuformer.schedule.build import Frame, emit_region, replace_state
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.regions import CONVOLUTIONS, MEANS, VIEWS, Choice, Region
from mcuformer.schedule.state import NO_BUDGET
from mcuformer.schedule.ways.conv import strip_choices
from mcuformer.schedule.ways.embed import Grid, by_patches, line_choices
from mcuformer.schedule.ways.special import SPECIAL
from mcuformer.util.record import record

# Into how many tiles the rows are cut: equal ones, so that no short last tile pays for a whole panel.
CUTS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 99)
BUDGETS = (
    0,
    512,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    12288,
    16384,
    24576,
    32768,
    49152,
    65536,
)


@record(frozen=True, slots=True, eq=False)
class Options:
    """The Pareto set of a region: along it `peak` of its own bytes rises and `cost` in instructions falls.

    A choice is made when it is asked for: of a hundred, the search wants one.
    """

    peak: NDArray[np.int64]
    cost: NDArray[np.int64]
    absorbed: NDArray[np.bool_]  # which are schedules of the region with absorbed weights
    choice: Callable[[int], Choice]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What some choices cost: `peak` of the region's own bytes and `cost` in instructions."""

    peak: NDArray[np.int64]
    cost: NDArray[np.int64]
    choice: Callable[[int], Choice]


def options(fr: Frame, region: Region, other: Frame | None, twin: Region | None) -> Options:
    """What a region can choose from; `twin` is the region with absorbed weights."""
    sheets = [*_sheets(fr, region)]
    exact = sum(len(s.peak) for s in sheets)
    if other is not None and twin is not None and twin.attention is not None:
        sheets += absorbed_sheets(other, twin)
    peak, cost = (np.concatenate([getattr(s, n) for s in sheets]) for n in ("peak", "cost"))
    first = [0, *accumulate(len(s.peak) for s in sheets)]
    makers = [s.choice for s in sheets]
    kept = front(peak, cost)
    places = kept.tolist()

    def choice(i: int) -> Choice:
        which = bisect_right(first, places[i]) - 1
        return makers[which](places[i] - first[which])

    return Options(peak[kept], cost[kept], kept >= exact, choice)


def front(peak: NDArray[np.int64], cost: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of what nothing beats: peaks rise, costs fall; of equals the first."""
    order = order_by(peak, cost)
    sorted_cost = cost[order]
    before = np.minimum.accumulate(sorted_cost)[:-1]
    better = np.concatenate([[True], sorted_cost[1:] < before])
    return order[better]


def absorbed_sheets(fr: Frame, region: Region) -> list[Sheet]:
    rows = _queries(fr, region)
    return [_tiled(fr, region, s, rows, BUDGETS) for s in ("absorbed", "absorbed together")]


def _sheets(fr: Frame, region: Region) -> Iterator[Sheet]:
    """Every choice worth a thought for a region of the exact graph."""
    op, attention = region.ops[-1], region.attention
    if attention is not None and attention.attrs.get("windows", 1) > 1:
        yield _emitted(fr, region, [Choice("windows", budget=b) for b in BUDGETS])
    elif attention is not None:
        keys = fr.emitter.values[str(attention.inputs[1])].type.shape[0]
        yield _kept(fr, region, _tiles(keys), _tiles(_queries(fr, region)))
        yield _tiled(fr, region, "heads", keys, BUDGETS[2:])
    elif op.kind in CONVOLUTIONS:
        for n in _lines(fr, region):
            if not by_patches(fr.graph, op):
                yield _strips(fr, region, n)
                continue
            yield _emitted(fr, region, [Choice("rows", lines=n, budget=b) for b in BUDGETS])
    elif op.kind in VIEWS or (op.kind in SPECIAL and op.kind not in MEANS):
        yield _emitted(fr, region, [Choice("rows", budget=b) for b in BUDGETS])
    else:
        name = region.target if op.kind not in MEANS else str(op.inputs[0])
        yield _tiled(fr, region, "rows", fr.emitter.values[name].type.shape[0], BUDGETS)


def _lines(fr: Frame, region: Region) -> list[int]:
    """Image lines of patches at a time, or lines of a convolution's strips."""
    op = region.ops[-1]
    if not by_patches(fr.graph, op):
        return strip_choices(fr.emitter, region)
    pulled = str(op.inputs[0]) not in fr.emitter.where
    return line_choices(Grid.of(fr.emitter, op)) if pulled else [op.attrs["kernel"][0]]


def _queries(fr: Frame, region: Region) -> int:
    assert region.attention is not None
    return fr.emitter.values[str(region.attention.inputs[0])].type.shape[0]


def _tiles(rows: int) -> list[int]:
    """Rows of a tile, even (the kernels take rows in pairs); 1 only where there is one row."""
    return sorted({min(rows, 2 * -(-rows // (2 * n))) for n in CUTS})


def _emitted(fr: Frame, region: Region, choices: Iterable[Choice]) -> Sheet:
    """Budgets rise; one under which no kernel chooses otherwise than under the last is left out."""
    enough, kept, peaks, costs = 0, [], [], []
    for choice in choices:
        if choice.budget >= enough:
            em, steps, outside = _emit(fr, region, choice)
            enough = em.next_budget
            kept.append(choice)
            peaks.append(_peak(fr, region, em, steps, outside))
            costs.append(steps_instructions(steps))
    return Sheet(np.array(peaks, np.int64), np.array(costs, np.int64), kept.__getitem__)


def _strips(fr: Frame, region: Region, lines: int) -> Sheet:
    """A chain of convolutions in strips of `lines` lines, under every budget."""
    drafted = draft_windows(*_emit(fr, region, Choice("rows", lines=lines), drafted=True))
    peak, cost = drafted.measure((1,), BUDGETS)
    return Sheet(
        peak.ravel(), cost.ravel(), lambda i: Choice("rows", lines=lines, budget=BUDGETS[i])
    )


def _peak(fr: Frame, region: Region, em: Emitter, steps: Sequence[Step], outside: set[str]) -> int:
    op = region.ops[-1]
    if op.kind in CONVOLUTIONS and not by_patches(fr.graph, op):
        return window_peak(steps, outside)
    return peak_bytes(em, steps, outside)


def _emit(
    fr: Frame, region: Region, choice: Choice, drafted: bool = False
) -> tuple[Emitter, list[Step], set[str]]:
    """The steps, the emitter after them, and the buffers that were there before."""
    em = replace_state(fr.emitter)
    em.priced = em.choosing = not drafted
    em.next_budget = NO_BUDGET
    return em, emit_region(em, region, choice, fr.mode), set(fr.emitter.buffers)


def _tiled(fr: Frame, region: Region, schedule: str, rows: int, budgets: tuple[int, ...]) -> Sheet:
    """One schedule under every tile of `rows` and every budget."""
    tiles = _tiles(rows)
    queries = rows if region.attention is None else _queries(fr, region)
    drafted = draft(*_emit(fr, region, Choice(schedule, tiles[0], tiles[0]), drafted=True))
    peak, cost = (a[:, -len(budgets) :] for a in drafted.measure(tiles, BUDGETS))

    def choice(i: int) -> Choice:
        tile, budget = tiles[i // len(budgets)], budgets[i % len(budgets)]
        return Choice(schedule, tile, queries if schedule == "heads" else tile, budget)

    return Sheet(peak.ravel(), cost.ravel(), choice)


def _kept(fr: Frame, region: Region, tiles: Sequence[int], query_tiles: Sequence[int]) -> Sheet:
    """Schedule `kv`. Its two loops share K and V only, which live through both: a choice costs the
    sum of both loops and peaks where the higher one does, so each loop is tiled by itself."""
    drafted = draft(*_emit(fr, region, Choice("kv", tiles[0], query_tiles[0]), drafted=True))
    budgets = BUDGETS[2:]
    made, read = (
        drafted.measure(t, BUDGETS, part)
        for t, part in ((tiles, slice(None, -1)), (query_tiles, slice(-1, None)))
    )
    peak = np.maximum(made[0][:, None], read[0][None])[..., 2:]
    cost = (made[1][:, None] + read[1][None])[..., 2:]
    shape = peak.shape  # all that is kept of the two

    def choice(i: int) -> Choice:
        tile, query, budget = (int(n) for n in np.unravel_index(i, shape))
        return Choice("kv", tiles[tile], query_tiles[query], budgets[budget])

    return Sheet(peak.ravel(), cost.ravel(), choice)
