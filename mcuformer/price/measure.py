"""Peak and instructions of a region under every tile and budget, from one emission.

Tiles and budgets change how many rows a buffer holds and which panel a kernel takes, not which
calls there are or what they touch. So a region is emitted once per schedule, its calls keep what
they compute (`Call.work`), and everything else is arithmetic on the kernels' own menus.
tests/price/test_measure.py holds it equal to emitting every choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcuformer.memory.lifetimes import stretches
from mcuformer.operators.outline import STAGE, nominal
from mcuformer.price.panels import Asker, cost_key
from mcuformer.price.tables import tables
from mcuformer.program.buffers import Buffer
from mcuformer.program.calls import Call, Loop, Step, Work
from mcuformer.util.record import record

Numbers = NDArray[np.int64]


class Emitted(Asker, Protocol):
    """The emitter after it emitted a region. `tiled`: of buffers that hold a tile of rows, the bytes
    of a row and the total of rows."""

    buffers: dict[str, Buffer]
    tiled: dict[str, tuple[int, int]]


@record(frozen=True, slots=True)
class Moment:
    """A call: the bytes beside its scratch, by fixed buffers and by tiles (bytes a row, total).

    It stands in a loop over `total` rows in tiles, or in none (0). Equal moments cost the same.
    """

    total: int
    fixed: int
    tiles: tuple[tuple[int, int], ...]
    key: int
    extent: int  # see Work
    heads: int
    decided_on: int
    instructions: int  # of a call without work


@dataclass(slots=True, eq=False)
class Draft:
    """A region under one schedule, step by step; `em` knows the values of its operations."""

    em: Emitted
    steps: list[list[tuple[Moment, Work | None]]]

    def measure(
        self, tiles: Sequence[int], budgets: tuple[int, ...], part: slice = slice(None)
    ) -> tuple[Numbers, Numbers]:
        """(peak, instructions), each [tiles, budgets], of some steps together."""
        sizes = np.array(tiles, np.int64)
        held: dict[tuple[int, int], Numbers] = {}
        runs: dict[int, Numbers | int] = {0: 1}
        peak = np.zeros((len(tiles), len(budgets)), np.int64)
        cost = np.zeros_like(peak)
        alike: dict[Moment, list[Work | None]] = {}
        for step in self.steps[part]:
            for m, work in step:
                alike.setdefault(m, []).append(work)
        asked = [(works[0], m.key) for m, works in alike.items() if works[0] is not None]
        known = iter(tables(self.em, asked, tuple(tiles), budgets))
        for m, works in alike.items():
            work, count = works[0], len(works)
            beside: Numbers | int = m.fixed
            for size, rows in m.tiles:
                if (size, rows) not in held:
                    held[size, rows] = (size * np.minimum(sizes, rows)[:, None] + 7) & ~7
                beside = beside + held[size, rows]
            if work is None:
                instructions: Numbers | int = m.instructions
            else:
                scratch, instructions = next(known)
                beside = beside + scratch
            if work is None or not work.total:
                if m.total not in runs:
                    runs[m.total] = (-(-m.total // sizes))[:, None]
                instructions = instructions * runs[m.total]
            np.maximum(peak, beside, out=peak)
            cost += instructions if count == 1 else count * instructions
        return peak, cost


def draft(em: Emitted, steps: Sequence[Step], outside: set[str]) -> Draft:
    """`em` after it emitted `steps` of a region; `outside`: buffers that are not the region's."""
    calls = [list(calls_of(step)) for step in steps]
    fixed = [0] * sum(map(len, calls))
    tiles: list[tuple[tuple[int, int], ...]] = [()] * len(fixed)
    for name, (first, last) in own_lives(steps, calls, outside).items():
        tile = em.tiled.get(name)
        size = _up8(em.buffers[name].size_bytes)
        for i in range(first, last + 1):
            if tile is None:
                fixed[i] += size
            else:
                tiles[i] += (tile,)
    beside = zip(fixed, tiles, strict=True)
    return _drafted(em, steps, calls, beside)


def draft_windows(em: Emitted, steps: Sequence[Step], outside: set[str]) -> Draft:
    """The same where windows of images live on from step to step, of which a part counts at a time."""
    calls = [list(calls_of(step)) for step in steps]
    beside = [0] * (sum(map(len, calls)) + 1)
    for name, stairs in stretches(steps).items():
        for live in stairs if name not in outside else ():
            beside[live.first] += _up8(live.hi - live.lo)
            beside[live.last + 1] -= _up8(live.hi - live.lo)
    return _drafted(em, steps, calls, ((level, ()) for level in accumulate(beside)))


def _drafted(
    em: Emitted,
    steps: Sequence[Step],
    calls: list[list[Call]],
    beside: Iterator[tuple[int, tuple[tuple[int, int], ...]]],
) -> Draft:
    """`beside`: of every call, the bytes of fixed buffers and the tiles that live beside it."""
    found = []
    for step, inside in zip(steps, calls, strict=True):
        total = step.total if isinstance(step, Loop) else 0
        found.append([_moment(em, total, call, *next(beside)) for call in inside])
    return Draft(em, found)


def _moment(
    em: Emitted, total: int, call: Call, fixed: int, tiles: tuple[tuple[int, int], ...]
) -> tuple[Moment, Work | None]:
    work = call.work
    if work is None:
        return Moment(total, fixed, tiles, 0, 0, 0, 0, call.instructions), None
    if em.graph.stage != STAGE:  # an outline has nominal operations only
        work = replace(work, op=nominal(work.op, em.type))
    key = cost_key(work.op, em)
    return Moment(total, fixed, tiles, key, work.extent, work.heads, work.decided_on, 0), work


def own_lives(
    steps: Sequence[Step], calls: Sequence[Sequence[Call]], outside: set[str]
) -> dict[str, tuple[int, int]]:
    """First and last call of the region's own buffers; `calls` are those of every step.

    A buffer touched in one loop only lives from its first to its last call there; one touched
    inside and outside lives through the whole loop. (The planner proves the exact figure.)
    """
    touched: dict[str, list[tuple[int, int]]] = {}
    bounds: list[tuple[int, int]] = []
    position = 0
    for n, (step, inside) in enumerate(zip(steps, calls, strict=True)):
        start, loop = position, n if isinstance(step, Loop) else -1
        for call in inside:
            for span in (*call.reads, *call.writes, *call.scratch):
                if span.buffer not in outside:
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


def peak_bytes(em: Emitted, steps: Sequence[Step], outside: set[str]) -> int:
    """Of the region's own bytes, as the steps were emitted."""
    calls = [list(calls_of(step)) for step in steps]
    change = [0] * (sum(map(len, calls)) + 1)
    for name, (first, last) in own_lives(steps, calls, outside).items():
        size = _up8(em.buffers[name].size_bytes)
        change[first] += size
        change[last + 1] -= size
    return max(accumulate(change))


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
