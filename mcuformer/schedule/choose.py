"""Which schedule every region runs under: the trade between SRAM and instructions.

Each region is emitted under every candidate choice; its own peak of bytes and its instructions are
kept where no other choice is better in both. A limit on bytes then decides for all regions at once:
each takes its fastest choice that stays, with what lives beside it, under the limit. Sweeping the
limit gives the model's whole trade-off curve.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.schedule.build import MOVES, SPECIAL, Choice, Frame, emit_region, replace_state
from mcuformer.schedule.conv import strip_choices
from mcuformer.schedule.embed import Grid, by_patches, line_choices
from mcuformer.schedule.emit import NO_BUDGET, Emitter
from mcuformer.schedule.measure import (
    draft,
    draft_windows,
    step_figures,
    steps_instructions,
    window_peak,
)
from mcuformer.schedule.outline import times
from mcuformer.schedule.panels import keep
from mcuformer.schedule.program import Step
from mcuformer.schedule.regions import CONVOLUTIONS, Region

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


_NUMBERS = ("indices", "m", "o_mant", "o_exp")  # attributes that no schedule depends on


@dataclass(frozen=True, slots=True)
class Option:
    choice: Choice
    peak_bytes: int  # of the region's own buffers
    instructions: int


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the trade-off: every region's choice under a limit on live bytes."""

    limit_bytes: int
    instructions: int
    choices: tuple[Choice, ...]
    latent: bool = False  # some attention runs from its low-rank latent, K and V never exist


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What some choices cost: `peak` of the region's own bytes and `cost` in instructions."""

    peak: NDArray[np.int64]
    cost: NDArray[np.int64]
    choice: Callable[[int], Choice]


def options(fr: Frame, region: Region, other: Frame | None, twin: Region | None) -> list[Option]:
    """The Pareto set of a region, smallest peak first; `twin` is the region with absorbed weights."""
    sheets = [*_sheets(fr, region)]
    if other is not None and twin is not None and twin.attention is not None:
        sheets += absorbed_sheets(other, twin)
    peak, cost = (np.concatenate([getattr(s, n) for s in sheets]) for n in ("peak", "cost"))
    first = np.cumsum([0, *(len(s.peak) for s in sheets)])
    found = []
    for i in front(peak, cost):
        which = bisect_right(first, i) - 1
        choice = sheets[which].choice(int(i - first[which]))
        found.append(Option(choice, int(peak[i]), int(cost[i])))
    return found


def front(peak: NDArray[np.int64], cost: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of what nothing beats: peaks rise, costs fall; of equals the first."""
    order = np.lexsort((cost, peak))
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
    elif op.kind in MOVES or (op.kind in SPECIAL and op.kind != "q_mean"):
        yield _emitted(fr, region, [Choice("rows", budget=b) for b in BUDGETS])
    else:
        name = region.target if op.kind != "q_mean" else str(op.inputs[0])
        yield _tiled(fr, region, "rows", fr.emitter.values[name].type.shape[0], BUDGETS)


def _lines(fr: Frame, region: Region) -> list[int]:
    """Image lines of patches at a time, or lines of a convolution's strips."""
    op = region.ops[-1]
    if not by_patches(fr.graph, op):
        return strip_choices(fr.emitter, region)
    return line_choices(Grid.of(fr.emitter, op)) if fr.mode == "bands" else [op.attrs["kernel"][0]]


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


def _peak(
    fr: Frame, region: Region, em: Emitter, steps: Sequence[Step], outside: set[str]
) -> int:
    op = region.ops[-1]
    if op.kind in CONVOLUTIONS and not by_patches(fr.graph, op):
        return window_peak(steps, outside)
    return max((p for p, _ in step_figures(em, steps, outside)), default=0)


def _emit(
    fr: Frame, region: Region, choice: Choice, drafted: bool = False
) -> tuple[Emitter, list[Step], set[str]]:
    """The steps, the emitter after them, and the buffers that were there before."""
    em = replace_state(fr.emitter)
    em.priced = em.choosing = not drafted
    em.next_budget = NO_BUDGET
    return em, emit_region(em, region, choice, fr.mode), set(fr.emitter.buffers)


def _tiled(
    fr: Frame, region: Region, schedule: str, rows: int, budgets: tuple[int, ...]
) -> Sheet:
    """One schedule under every tile of `rows` and every budget."""
    tiles = _tiles(rows)
    queries = rows if region.attention is None else _queries(fr, region)
    drafted = draft(*_emit(fr, region, Choice(schedule, tiles[0], tiles[0]), drafted=True))
    peak, cost = (a[:, -len(budgets) :] for a in drafted.measure(tiles, BUDGETS))

    def choice(i: int) -> Choice:
        tile, budget = tiles[i // len(budgets)], budgets[i % len(budgets)]
        return Choice(schedule, tile, queries if schedule == "heads" else tile, budget)

    return Sheet(peak.ravel(), cost.ravel(), choice)


def _kept(
    fr: Frame, region: Region, tiles: Sequence[int], query_tiles: Sequence[int]
) -> Sheet:
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

    def choice(i: int) -> Choice:
        tile, query, budget = (int(n) for n in np.unravel_index(i, peak.shape))
        return Choice("kv", tiles[tile], query_tiles[query], budgets[budget])

    return Sheet(peak.ravel(), cost.ravel(), choice)


def outside_live(fr: Frame) -> list[int]:
    """Bytes of materialised values that live while each region runs (its inputs and target included)."""
    count = len(fr.regions)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    where, values = fr.emitter.where, fr.emitter.values
    for i, region in enumerate(fr.regions):
        for name in (region.target, *(n for op in region.ops for n in op.inputs if n is not None)):
            if name in where and where[name].buffer is not None:
                first.setdefault(name, i)
                last[name] = i
    for name in fr.graph.outputs:
        last[name] = count - 1
    live: list[dict[str, int]] = [{} for _ in range(count)]
    for name, start in first.items():
        loc = where[name]
        end = loc.start.const + values[name].type.shape[0] * loc.stride
        for i in range(start, last[name] + 1):
            live[i][str(loc.buffer)] = max(live[i].get(str(loc.buffer), 0), -(-end // 8) * 8)
    return [sum(table.values()) for table in live]


def signature(fr: Frame, region: Region) -> tuple[object, ...]:
    """Regions with equal signatures have equal options: shapes, types and structure, no names."""
    index: dict[str, int] = {}
    values, where = fr.emitter.values, fr.emitter.where
    target = where[region.target].buffer
    rows: list[object] = [fr.mode]
    for op in region.ops:
        rows += [op.kind, *[(k, str(v)) for k, v in sorted(op.attrs.items()) if k not in _NUMBERS]]
        for name in (*op.inputs, *op.outputs):
            if name is None:
                rows.append(None)
                continue
            value, loc = values[name], where.get(name)
            rows += [index.setdefault(name, len(index)), value.type.shape, value.type.dtype]
            rows.append(value.is_const)
            if loc is not None:
                start = loc.start
                rows.append((loc.stride, loc.buffer is None, start.const, start.terms))
                rows.append(loc.buffer == target)
    return tuple(rows)


def is_latent(fr: Frame, region: Region) -> bool:
    """Whether the attention's k and v layers read a materialised value narrower than K (a latent)."""
    assert region.attention is not None
    k = str(region.attention.inputs[1])
    made = next((o for o in region.ops if o.outputs[0] == k), None)
    if made is None or made.inputs[0] not in fr.emitter.where:
        return False
    return fr.emitter.values[str(made.inputs[0])].type.shape[1] < fr.emitter.values[k].type.shape[1]


Memo = dict[tuple[object, ...], list[Option]]


def trade_off(
    fr: Frame, other: Frame | None = None, memo: Memo | None = None,
    keys: Sequence[object] | None = None,
) -> list[Point]:
    """Points with rising instructions and falling limits: what the model can trade.

    `other` is the frame of the graph whose attentions have absorbed weights, where there are any.
    `memo` keeps the options of regions from one model to the next (the search plans thousands).
    `keys` are the regions' signatures, where they are known.
    """
    memo = {} if memo is None else memo
    keys = keys or [signature(fr, r) for r in fr.regions]
    table: list[list[Option]] = []
    twins = {r.target: r for r in other.regions} if other else {}
    for region, shapes in zip(fr.regions, keys, strict=True):
        twin = twins.get(region.target)
        same = twin is None or [o.name for o in twin.ops] == [o.name for o in region.ops]
        twin = None if same else twin
        key = (shapes, twin is not None)
        table.append(memo.get(key) or keep(memo, key, options(fr, region, other, twin)))
    beside = outside_live(fr)
    # Along a region's options peaks rise and instructions fall: the last one that fits is the best.
    peaks = [[b + o.peak_bytes for o in os] for b, os in zip(beside, table, strict=True)]
    floor = max((p[0] for p in peaks), default=0)
    counts = [times(fr.graph, r.name) for r in fr.regions]
    latent = [r.attention is not None and is_latent(fr, r) for r in fr.regions]
    limits = np.array(sorted({p for ps in peaks for p in ps if p > floor} | {floor}), np.int64)
    chosen = [np.searchsorted(ps, limits, "right") - 1 for ps in peaks]
    totals, absorbed = np.zeros_like(limits), np.zeros(len(limits), np.bool_)
    for n, os, at, yes in zip(counts, table, chosen, latent, strict=True):
        totals += n * np.array([o.instructions for o in os], np.int64)[at]
        if yes:
            absorbed |= np.array([o.choice.schedule.startswith("absorbed") for o in os])[at]
    better = np.ones(len(limits), np.bool_)  # than every lower limit
    better[1:] = totals[1:] < np.minimum.accumulate(totals)[:-1]
    choices = zip(
        *([os[i].choice for i in at[better]] for os, at in zip(table, chosen, strict=True)),
        strict=True,
    )
    columns = (a[better].tolist() for a in (limits, totals, absorbed))
    return [
        Point(limit, total, several, from_latent)
        for several, limit, total, from_latent in zip(choices, *columns, strict=True)
    ][::-1]


__all__ = ["Option", "Point", "trade_off"]
