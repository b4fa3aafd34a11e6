"""What a region can choose from: its schedules, tiles and budgets of scratch.

Each region is emitted under every schedule; the peak of its own bytes and its instructions are kept
where no other choice is better in both (plan/curve.py makes the model's curve of them).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mcuformer.price.book import CostBook
from mcuformer.price.measure import Draft, Measurement, draft, draft_windows
from mcuformer.price.menus import Counts, order_by
from mcuformer.schedule.build import Skeleton, emit_region
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.patch_views import by_patches
from mcuformer.schedule.regions import JOINS, MEANS, PICKS, VIEWS, Choice, Region
from mcuformer.schedule.squeezes import gates_its_mean
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.channel_tiles import channel_choices
from mcuformer.schedule.ways.conv import IN_PLACE, schedules_of, strip_choices
from mcuformer.schedule.ways.embed import line_choices
from mcuformer.schedule.ways.over_image import OVER_IMAGE, lies_over_image
from mcuformer.schedule.ways.patch_rows import patch_row_choices, reads_patches
from mcuformer.schedule.ways.ring import ring_choices
from mcuformer.schedule.ways.sweeps import KEPT_IMAGE, SWEEPS, SWEEPS_IN_PLACE, sweep_choices
from mcuformer.schedule.window_maps import window_map
from mcuformer.util.speed import record

# Into how many tiles the rows are cut: equal ones, so that no short last tile pays for a whole panel.
CUTS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 99)
SMALL_TILES = (8, 16)
BUDGETS = (0, *(512 * n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)))

Found = tuple[Counts, Counts, Counts]  # (peak, cost, read), each [tiles, budgets]


@record(frozen=True, slots=True, eq=False)
class Options:
    """The Pareto set of a region: along it `peak` of its own bytes rises and `cost` in instructions falls.
    `read`: bytes of weights that are read; where those have a price, it is the sum that falls.

    A choice is made when it is asked for: of a hundred, the search wants one.
    """

    peak: NDArray[np.int64]
    cost: NDArray[np.int64]
    read: NDArray[np.int64]
    absorbed: NDArray[np.bool_]  # which are schedules of the region with absorbed weights
    choice: Callable[[int], Choice]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What some choices cost: see `Options`."""

    peak: NDArray[np.int64]
    cost: NDArray[np.int64]
    read: NDArray[np.int64]
    choice: Callable[[int], Choice]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One way of a region, not yet measured; `sheet` makes what is found of every (peak, cost, read)."""

    measurements: tuple[Measurement, ...]
    sheet: Callable[..., Sheet]

    def made(self) -> Sheet:
        return self.sheet(*(m.figures(BUDGETS) for m in self.measurements))


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """All ways of a region; those of its twin with absorbed weights apart."""

    exact: tuple[Trial, ...]
    absorbed: tuple[Trial, ...]

    @property
    def measurements(self) -> Iterator[Measurement]:
        for trial in (*self.exact, *self.absorbed):
            yield from trial.measurements


def trials(
    book: CostBook, fr: Skeleton, region: Region, other: Skeleton | None, twin: Region | None
) -> Trials:
    """`twin` is the region with absorbed weights."""
    absorbed: list[Trial] = []
    if other is not None and twin is not None and twin.attention is not None:
        absorbed = absorbed_trials(book, other, twin)
    return Trials(tuple(exact_trials(book, fr, region)), tuple(absorbed))


def options(tried: Trials, read_price: int = 0) -> Options:
    """What a region can choose from, where reading a byte of weights costs as much as `read_price` instructions."""
    sheets = [trial.made() for trial in tried.exact]
    exact = sum(len(s.peak) for s in sheets)
    sheets += [trial.made() for trial in tried.absorbed]
    columns = ("peak", "cost", "read")
    peak, cost, read = (np.concatenate([getattr(s, n) for s in sheets]) for n in columns)
    first = [0, *accumulate(len(s.peak) for s in sheets)]
    makers = [s.choice for s in sheets]
    kept = front(peak, cost + read_price * read if read_price else cost)
    places = kept.tolist()

    def choice(i: int) -> Choice:
        which = bisect_right(first, places[i]) - 1
        return makers[which](places[i] - first[which])

    return Options(peak[kept], cost[kept], read[kept], kept >= exact, choice)


def front(peak: NDArray[np.int64], cost: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of what nothing beats: peaks rise, costs fall; of equals the first."""
    order = order_by(peak, cost)
    sorted_cost = cost[order]
    before = np.minimum.accumulate(sorted_cost)[:-1]
    better = np.concatenate([[True], sorted_cost[1:] < before])
    return order[better]


def absorbed_trials(book: CostBook, fr: Skeleton, region: Region) -> list[Trial]:
    rows = _queries(fr, region)
    ways = (Choice("absorbed"), Choice("absorbed together"))
    return [_tiled(book, fr, region, way, _tiles(rows), BUDGETS) for way in ways]


def exact_trials(book: CostBook, fr: Skeleton, region: Region) -> Iterator[Trial]:
    """Every choice worth a thought for a region of the exact graph."""
    op, attention = region.ops[-1], region.attention
    if attention is not None and attention.attrs.get("windows", 1) > 1:
        window = _queries(fr, region) // attention.attrs["windows"]
        if window_map(fr.graph, attention) is not None:
            for tile in _tiles(window):
                if tile > 1:
                    yield _windows(book, fr, region, Choice("window map", tile, tile), window)
            return
        yield _fixed(book, fr, region, Choice("windows"), window)
        for tile in _tiles(window):
            if 1 < tile < window:
                choice = Choice("window tiles", tile, tile)
                yield _windows(book, fr, region, choice, window)
    elif attention is not None:
        keys = fr.emitter.values[str(attention.inputs[1])].type.shape[0]
        yield _kept(book, fr, region, _tiles(keys), _tiles(_queries(fr, region)))
        yield _tiled(book, fr, region, Choice("heads"), _tiles(keys), BUDGETS[2:])
        for ring in ring_choices(fr.emitter, region):
            yield _windows(book, fr, region, ring, ring.tile)
    elif region.modulates:
        yield from _modulation(book, fr, region)
    elif op.kind in VIEWS | JOINS | PICKS or lies_over_image(fr.emitter, region):
        yield _fixed(book, fr, region, Choice(OVER_IMAGE if region.over else "rows"))
    elif region.in_lines:
        yield from _images(book, fr, region)
    else:
        name = region.target if op.kind not in MEANS else str(op.inputs[0])
        rows = fr.emitter.values[name].type.shape[0]
        yield _tiled(book, fr, region, Choice(), _tiles(rows), BUDGETS)


def _images(book: CostBook, fr: Skeleton, region: Region) -> Iterator[Trial]:
    """Patches, or a chain of convolutions in strips; where both can be, both."""
    op, em = region.ops[-1], fr.emitter
    if by_patches(fr.graph, op):
        pulled = str(op.inputs[0]) not in em.where
        for n in line_choices(op) if pulled else [op.attrs["kernel"][0]]:
            yield _fixed(book, fr, region, Choice("rows", lines=n))
        return
    if reads_patches(em, region):
        for choice in patch_row_choices(em, region):
            yield _windows(book, fr, region, choice)
        at = em.where.get(str(op.inputs[0]))
        if at is None or at.buffer == em.where[region.target].buffer:
            return
    heights = strip_choices(em, region)
    for n in heights:
        for schedule in schedules_of(region):
            yield _strips(book, fr, region, Choice(schedule, lines=n), n > heights[-1])


def _queries(fr: Skeleton, region: Region) -> int:
    assert region.attention is not None
    return fr.emitter.values[str(region.attention.inputs[0])].type.shape[0]


def _tiles(rows: int) -> list[int]:
    """Rows of a tile, even (the kernels take rows in pairs); 1 only where there is one row. Of
    thousands, the finest cut leaves many, so that a few small tiles come first."""
    found = sorted({min(rows, 2 * -(-rows // (2 * n))) for n in CUTS})
    return [*(n for n in SMALL_TILES if found[0] > SMALL_TILES[-1]), *found]


def _strips(book: CostBook, fr: Skeleton, region: Region, choice: Choice, high: bool) -> Trial:
    """Convolutions and what is between them in strips of lines, under every budget. Windows that stay
    where they are leave room between each other that no other buffer may fit in: those of `high` strips count
    whole from their first line to their last."""
    whole = high and choice.schedule == IN_PLACE
    drafted = (draft if whole else draft_windows)(book, *_emit(fr, region, choice))
    return _budgets(drafted, 1, lambda i: replace(choice, budget=BUDGETS[i]))


def _windows(book: CostBook, fr: Skeleton, region: Region, choice: Choice, tile: int = 1) -> Trial:
    """Strips of lines, or loops in a loop, under every budget: lives are exact."""
    drafted = draft_windows(book, *_emit(fr, region, choice))
    return _budgets(drafted, tile, lambda i: replace(choice, budget=BUDGETS[i]))


def _modulation(book: CostBook, fr: Skeleton, region: Region) -> Iterator[Trial]:
    """Whole images or tiles of channels under every tile of rows (one has no loop: lives are exact), and sweeps."""
    *tiles, rows = _tiles(fr.emitter.values[region.target].type.shape[0])
    squeezes = gates_its_mean(region.ops)
    channels = [] if squeezes else channel_choices(fr.emitter, region)
    for way in (Choice("whole images"), *(Choice("channels", channels=n) for n in channels)):
        if tiles:
            yield _tiled(book, fr, region, way, tiles, BUDGETS)
        yield _windows(book, fr, region, replace(way, tile=rows, query_tile=rows), rows)
    kept = (KEPT_IMAGE,) if squeezes else ()
    for lines in sweep_choices(fr.fresh(), region)[1:]:
        for schedule in (*kept, SWEEPS, SWEEPS_IN_PLACE):
            yield _windows(book, fr, region, Choice(schedule, tile=1, lines=lines))


def _fixed(book: CostBook, fr: Skeleton, region: Region, choice: Choice, tile: int = 1) -> Trial:
    """A way that has no tiles to choose (its loops take `tile` rows at a time), under every budget."""
    drafted = draft(book, *_emit(fr, region, choice))
    return _budgets(drafted, tile, lambda i: replace(choice, budget=BUDGETS[i]))


def _budgets(drafted: Draft, tile: int, choice: Callable[[int], Choice]) -> Trial:
    def sheet(found: Found) -> Sheet:
        peak, cost, read = (a.ravel() for a in found)
        return Sheet(peak, cost, read, choice)

    return Trial((drafted.measurement((tile,)),), sheet)


def _emit(fr: Skeleton, region: Region, choice: Choice) -> tuple[TaskEmitter, Steps, set[str]]:
    """The emitter after the region's tasks, those, and the buffers that were there before."""
    em = fr.fresh()
    return em, emit_region(em, region, choice), set(fr.emitter.buffers)


def _tiled(
    book: CostBook,
    fr: Skeleton,
    region: Region,
    way: Choice,
    tiles: Sequence[int],
    budgets: tuple[int, ...],
) -> Trial:
    """One way under every tile of rows and every budget."""
    queries = 0 if region.attention is None else _queries(fr, region)
    first = replace(way, tile=tiles[0], query_tile=tiles[0])
    drafted = draft(book, *_emit(fr, region, first))

    def choice(i: int) -> Choice:
        tile, budget = tiles[i // len(budgets)], budgets[i % len(budgets)]
        query_tile = queries if way.schedule == "heads" else tile
        return replace(way, tile=tile, query_tile=query_tile, budget=budget)

    def sheet(found: Found) -> Sheet:
        peak, cost, read = (a[:, -len(budgets) :] for a in found)
        return Sheet(peak.ravel(), cost.ravel(), read.ravel(), choice)

    return Trial((drafted.measurement(tiles),), sheet)


def _kept(
    book: CostBook, fr: Skeleton, region: Region, tiles: Sequence[int], query_tiles: Sequence[int]
) -> Trial:
    """Schedule `kv`. Its two loops share K and V only, which live through both: a choice costs the
    sum of both loops and peaks where the higher one does, so each loop is tiled by itself."""
    drafted = draft(book, *_emit(fr, region, Choice("kv", tiles[0], query_tiles[0])))
    making = drafted.measurement(tiles, slice(None, -1))
    reading = drafted.measurement(query_tiles, slice(-1, None))
    least = 2  # of the budgets

    def sheet(made: Found, read: Found) -> Sheet:
        peak = np.maximum(made[0][:, None], read[0][None])[..., least:]
        cost, weights = (
            (a[:, None] + b[None])[..., least:] for a, b in zip(made[1:], read[1:], strict=True)
        )
        shape = peak.shape  # all that is kept of the two

        def choice(i: int) -> Choice:
            tile, query, budget = (int(n) for n in np.unravel_index(i, shape))
            return Choice("kv", tiles[tile], query_tiles[query], BUDGETS[least + budget])

        return Sheet(peak.ravel(), cost.ravel(), weights.ravel(), choice)

    return Trial((making, reading), sheet)
