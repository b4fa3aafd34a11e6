"""Peak and instructions of a region under every tile and budget, from one emission.

Tiles and budgets change how many rows a buffer holds and which panel a kernel takes, not which
calls there are or what they touch. So a region is emitted once per schedule, its calls keep what
they compute (`Call.work`), and everything else is arithmetic on the kernels' own menus.
tests/schedule/test_measure.py holds it equal to emitting every choice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mcuformer.kernels.table import KERNELS
from mcuformer.memory.lifetimes import stretches
from mcuformer.record import record
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.menus import Decided
from mcuformer.schedule.outline import STAGE, nominal
from mcuformer.schedule.panels import Key, cost_key, keep, menu_of, menus_of, remember
from mcuformer.schedule.program import Call, Loop, Step, Work

MENUS = ("linear", "attention", "conv")  # kernels that choose how much they expand at a time
TABLED = ("linear", "attention")  # of these, those whose menus are computed for many row counts at once
Entry = tuple[int, int, int]  # scratch bytes, instructions on a whole tile and on the last one
Figures = tuple[int, int]  # peak of the region's own bytes, instructions
Numbers = NDArray[np.int64]
_TABLES: dict[Key, tuple[Numbers, Numbers]] = {}


@record(frozen=True, slots=True)
class Moment:
    """A call: the bytes beside its scratch, by fixed buffers and by tiles (bytes a row, total)."""

    fixed: int
    tiles: tuple[tuple[int, int], ...]
    work: Work | None
    key: Key
    instructions: int  # of a call without `work`


@record(frozen=True, slots=True)
class Stage:
    """A step of the region: a call (`total` 0) or a loop over `total` rows in tiles."""

    total: int
    moments: tuple[Moment, ...]


@dataclass(slots=True, eq=False)
class Draft:
    """A region under one schedule; `em` knows the values of its operations."""

    em: Emitter
    stages: tuple[Stage, ...]

    def measure(
        self, tiles: Sequence[int], budgets: tuple[int, ...], part: slice = slice(None)
    ) -> tuple[Numbers, Numbers]:
        """(peak, instructions), each [tiles, budgets], of some stages together."""
        sizes = np.array(tiles, np.int64)
        held: dict[tuple[int, int], Numbers] = {}
        peak = np.zeros((len(tiles), len(budgets)), np.int64)
        cost = np.zeros_like(peak)
        several = tuple(tiles)
        for stage in self.stages[part]:
            runs = (-(-stage.total // sizes))[:, None] if stage.total else 1
            for m in stage.moments:
                beside: Numbers | int = m.fixed
                for size, rows in m.tiles:
                    if (size, rows) not in held:
                        held[size, rows] = (size * np.minimum(sizes, rows)[:, None] + 7) & ~7
                    beside = beside + held[size, rows]
                if m.work is None:
                    np.maximum(peak, beside, out=peak)
                    cost += runs * m.instructions
                    continue
                scratch, instructions = table(self.em, m.work, m.key, several, budgets)
                np.maximum(peak, scratch + beside, out=peak)
                cost += instructions if m.work.total else runs * instructions
        return peak, cost


def table(
    em: Emitter, work: Work, key: Key, tiles: tuple[int, ...], budgets: tuple[int, ...]
) -> tuple[Numbers, Numbers]:
    """(scratch in whole eights, instructions of all tiles together), each [tiles, budgets | 1]."""
    rows = work.rows if not work.total else -work.total
    at = (key, work.heads, rows, work.decided_on, tiles, budgets)
    return _TABLES.get(at) or keep(_TABLES, at, _table(em, work, key, tiles, budgets))


def _table(
    em: Emitter, work: Work, key: Key, tiles: tuple[int, ...], budgets: tuple[int, ...]
) -> tuple[Numbers, Numbers]:
    many = np.array(tiles if work.total else (work.rows,), np.int64)
    full = np.minimum(many, work.total or work.rows)
    count, tail = np.divmod(work.total or work.rows, full)
    if work.module not in TABLED:
        scratch, whole, last = _listed(em, work, key, full.tolist(), tail.tolist(), budgets)
    else:
        menus = menus_of(work.module, work.op, em, full.tolist(), work.heads, key)
        at = menus.chosen(np.array(budgets, np.int64))
        scratch, whole = menus.scratch[at], menus.cost[at]
        first, second = (c[at] for c in menus.choices)
        small = (c.astype(np.int32) for c in (first, second))
        remember(key, work.heads, Decided(menus.names, tuple(full.tolist()), budgets, *small))
        last = np.zeros_like(whole)
        if tail.any():
            rest = menus.instructions(tail[:, None], first, second)
            last = rest * (tail > 0)[:, None]
    if work.heads:
        heads = work.op.attrs["heads"]
        whole, last = (a * work.heads // heads for a in (whole, last))
    return (scratch + 7) & ~7, count[:, None] * whole + last


def _listed(
    em: Emitter, work: Work, key: Key, full: list[int], tail: list[int], budgets: tuple[int, ...]
) -> tuple[Numbers, Numbers, Numbers]:
    """Scratch, instructions of a whole tile and of the last one, entry by entry."""
    chosen = []
    for rows, rest in zip(full, tail, strict=True):
        menu = entries(em, work, key, rows, rest)
        sizes = [e[0] for e in menu]
        chosen.append([menu[max(0, bisect_right(sizes, b) - 1)] for b in budgets])
    scratch, whole, last = np.moveaxis(np.array(chosen, np.int64), -1, 0)
    return scratch, whole, last


def entries(em: Emitter, work: Work, key: Key, rows: int, tail: int) -> list[Entry]:
    """What a call can choose from, by rising scratch and falling instructions."""
    op, kernel = work.op, KERNELS[work.module]
    if work.module not in MENUS or op.kind == "q_dwconv2d":
        last = kernel.instructions(op, em, tail) if tail else 0
        return [(0, kernel.instructions(op, em, rows), last)]
    menu = menu_of(work.module, op, em, work.decided_on or rows, work.heads, key)
    return [
        (
            scratch,
            kernel.instructions(op, em, rows, **choices) if work.decided_on else whole,
            kernel.instructions(op, em, tail, **choices) if tail else 0,
        )
        for choices, scratch, whole in menu
    ]


def draft(em: Emitter, steps: Sequence[Step], outside: set[str]) -> Draft:
    """`em` after it emitted `steps` of a region; `outside`: buffers that are not the region's."""
    menus = {id(c) for s in steps for c in calls_of(s) if has_menu(c)}
    alive: list[list[str]] = [[] for s in steps for _ in calls_of(s)]
    for name, (first, last) in own_lives(steps, outside, menus).items():
        for names in alive[first : last + 1]:
            names.append(name)
    beside = iter(alive)
    stages: list[Stage] = []
    for step in steps:
        inside = tuple(_moment(em, call, next(beside)) for call in calls_of(step))
        stages.append(Stage(step.total if isinstance(step, Loop) else 0, inside))
    return Draft(em, tuple(stages))


def draft_windows(em: Emitter, steps: Sequence[Step], outside: set[str]) -> Draft:
    """The same where windows of images live on from step to step, of which a part counts at a time."""
    calls = [c for s in steps for c in calls_of(s)]
    own = {s.buffer for c in calls if has_menu(c) for s in c.scratch}
    beside = [0] * (len(calls) + 1)
    for name, stairs in stretches(steps).items():
        for live in stairs if name not in outside and name not in own else ():
            beside[live.first] += _up8(live.hi - live.lo)
            beside[live.last + 1] -= _up8(live.hi - live.lo)
    levels = iter(accumulate(beside))
    stages = []
    for step in steps:
        inside = tuple(
            replace(_moment(em, call, ()), fixed=next(levels)) for call in calls_of(step)
        )
        stages.append(Stage(step.total if isinstance(step, Loop) else 0, inside))
    return Draft(em, tuple(stages))


def has_menu(call: Call) -> bool:
    work = call.work
    return work is not None and work.module in MENUS and work.op.kind != "q_dwconv2d"


def _moment(em: Emitter, call: Call, names: Sequence[str]) -> Moment:
    fixed = sum(_up8(em.buffers[n].size_bytes) for n in names if n not in em.tiled)
    tiles = tuple(em.tiled[n] for n in names if n in em.tiled)
    work = call.work
    if work is None:
        return Moment(fixed, tiles, None, (), call.instructions)
    op = work.op
    if em.graph.stage != STAGE:  # an outline has nominal operations only
        op = nominal(op, em.type)
        work = replace(work, op=op)
    return Moment(fixed, tiles, work, cost_key(op, em), 0)


def own_lives(
    steps: Sequence[Step], outside: set[str], menus: set[int]
) -> dict[str, tuple[int, int]]:
    """First and last call of the region's own buffers, without the scratch of calls in `menus`.

    A buffer touched in one loop only lives from its first to its last call there; one touched
    inside and outside lives through the whole loop. (The planner proves the exact figure.)
    """
    touched: dict[str, list[tuple[int, int]]] = {}
    bounds: list[tuple[int, int]] = []
    position = 0
    for n, step in enumerate(steps):
        start = position
        for call in calls_of(step):
            scratch = () if id(call) in menus else call.scratch
            for span in (*call.reads, *call.writes, *scratch):
                if span.buffer not in outside:
                    loop = n if isinstance(step, Loop) else -1
                    touched.setdefault(span.buffer, []).append((position, loop))
            position += 1
        bounds.append((start, position - 1))
    lives = {}
    for name, marks in touched.items():
        (first, begin), (last, end) = marks[0], marks[-1]
        several = len({loop for _, loop in marks}) > 1
        lives[name] = (
            bounds[begin][0] if several and begin >= 0 else first,
            bounds[end][1] if several and end >= 0 else last,
        )
    return lives


def step_figures(em: Emitter, steps: Sequence[Step], outside: set[str]) -> list[Figures]:
    """Figures of every step as it was emitted."""
    lives = own_lives(steps, outside, set())
    count = sum(1 for s in steps for _ in calls_of(s))
    change = [0] * (count + 1)
    for name, (first, last) in lives.items():
        size = _up8(em.buffers[name].size_bytes)
        change[first] += size
        change[last + 1] -= size
    levels = list(accumulate(change))
    found, position = [], 0
    for step in steps:
        n = sum(1 for _ in calls_of(step))
        peak = max(levels[position : position + n], default=0)
        found.append((peak, steps_instructions((step,))))
        position += n
    return found


def window_peak(steps: Sequence[Step], outside: set[str]) -> int:
    """The peak where windows of images live on from step to step, of which a part counts at a time."""
    change: dict[int, int] = {}
    for name, stairs in stretches(steps).items():
        for live in stairs if name not in outside else ():
            size = _up8(live.hi - live.lo)
            change[live.first] = change.get(live.first, 0) + size
            change[live.last + 1] = change.get(live.last + 1, 0) - size
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def steps_instructions(steps: Sequence[Step]) -> int:
    """Estimated instructions: whole tiles and the shorter last one."""
    total = 0
    for step in steps:
        if isinstance(step, Call):
            total += step.instructions
            continue
        full, tail = divmod(step.total, step.step)
        total += full * steps_instructions(step.body)
        if tail:
            total += sum(
                (c.instructions if c.tail_instructions is None else c.tail_instructions)
                if isinstance(c, Call)
                else steps_instructions((c,))
                for c in step.body
            )
    return total


def calls_of(step: Step) -> Iterator[Call]:
    if isinstance(step, Call):
        yield step
    else:
        for inner in step.body:
            yield from calls_of(inner)


def _up8(size: int) -> int:
    return (size + 7) & ~7
