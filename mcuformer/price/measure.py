"""Peak and instructions of a region under every tile and budget, from one emission.

Tiles and budgets change how many rows a buffer holds and which panel a kernel takes, not which
tasks there are or what they touch. So a region is emitted once per way, and everything else is
arithmetic on the kernels' own menus. tests/price/test_measure.py holds it equal to binding every
choice and counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from mcuformer.memory.lifetimes import stretches
from mcuformer.operators.outline import STAGE, nominal
from mcuformer.operators.table import kernel_of
from mcuformer.price.book import CostBook, Key
from mcuformer.price.menus import Counts
from mcuformer.price.tables import Asked, learn, tables
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.schedule.state import State
from mcuformer.schedule.tasks import Job, Steps, Task
from mcuformer.util.speed import record

Tiles = tuple[tuple[int, int], ...]  # of tile buffers: bytes a row, total of the rows


@record(frozen=True, slots=True)
class Line:
    """A task as a line of the bill: the bytes beside its scratch, by fixed buffers and by tiles.

    It stands in a loop over `total` rows in tiles, or in none (0), and `times` in a loop inside.
    Equal lines cost the same.
    """

    total: int
    times: int
    fixed: int
    tiles: Tiles
    key: Key
    extent: int  # see Job
    heads: int
    decided_on: int
    lines: int
    instructions: int  # of a task without job


@dataclass(slots=True, eq=False)
class Draft:
    """A region run one way, step by step; `em` knows the values of its operations."""

    book: CostBook
    em: State
    steps: list[list[tuple[Line, Job | None]]]

    def measurement(self, tiles: Sequence[int], part: slice = slice(None)) -> Measurement:
        """Of some steps together."""
        alike: dict[Line, list[Job | None]] = {}
        for step in self.steps[part]:
            for line, job in step:
                alike.setdefault(line, []).append(job)
        return Measurement(self.book, self.em, alike, tuple(tiles))


@dataclass(slots=True, eq=False)
class Measurement:
    """What is to be measured: lines with their jobs, under every one of `tiles`."""

    book: CostBook
    em: State
    alike: dict[Line, list[Job | None]]
    tiles: tuple[int, ...]

    @property
    def asked(self) -> list[Asked]:
        return [(jobs[0], line.key) for line, jobs in self.alike.items() if jobs[0] is not None]

    def figures(self, budgets: tuple[int, ...]) -> tuple[Counts, Counts, Counts]:
        """(peak, instructions, bytes of weights read), each [tiles, budgets]."""
        sizes = np.array(self.tiles, np.int64)
        held: dict[tuple[int, int], Counts] = {}
        runs: dict[int, Counts] = {}
        peak = np.zeros((len(sizes), len(budgets)), np.int64)
        cost, read = np.zeros_like(peak), np.zeros((len(sizes), 1), np.int64)
        known = iter(tables(self.book, self.em, self.asked, self.tiles, budgets))
        for line, jobs in self.alike.items():
            job = jobs[0]
            count: Counts | int = len(jobs) * line.times
            beside: Counts | int = line.fixed
            for size, rows in line.tiles:
                if (size, rows) not in held:
                    held[size, rows] = (size * np.minimum(sizes, rows)[:, None] + 7) & ~7
                beside = beside + held[size, rows]
            if line.total and (job is None or not job.total):
                if line.total not in runs:
                    runs[line.total] = (-(-line.total // sizes))[:, None]
                count = count * runs[line.total]
            if job is None:
                cost += count * line.instructions
            else:
                scratch, instructions, weights = next(known)
                beside = beside + scratch
                cost += count * instructions
                if weights is not None:
                    read += count * weights
            np.maximum(peak, beside, out=peak)
        return peak, cost, np.broadcast_to(read, peak.shape)


def learn_all(
    book: CostBook, measurements: Iterable[Measurement], budgets: tuple[int, ...]
) -> None:
    """Cost what is new in any of them together."""
    learn(book, ((m.em, m.asked, m.tiles) for m in measurements), budgets)


def draft(book: CostBook, em: State, steps: Steps, outside: set[str]) -> Draft:
    """`em` after it emitted `steps` of a region; `outside`: buffers that are not the region's."""
    tasks = [list(tasks_of(step)) for step in steps]
    fixed = [0] * sum(map(len, tasks))
    tiles: list[Tiles] = [()] * len(fixed)
    for name, (first, last) in own_lives(steps, tasks, outside).items():
        tile = em.tiled.get(name)
        size = _up8(em.buffers[name].size_bytes)
        for i in range(first, last + 1):
            if tile is None:
                fixed[i] += size
            else:
                tiles[i] += (tile,)
    return _drafted(book, em, steps, tasks, zip(fixed, tiles, strict=True))


def draft_windows(book: CostBook, em: State, steps: Steps, outside: set[str]) -> Draft:
    """The same where windows of images live on from step to step, of which a part counts at a time."""
    tasks = [list(tasks_of(step)) for step in steps]
    beside = [0] * (sum(map(len, tasks)) + 1)
    for name, stairs in stretches(steps).items():
        for live in stairs if name not in outside else ():
            beside[live.first] += _up8(live.hi - live.lo)
            beside[live.last + 1] -= _up8(live.hi - live.lo)
    return _drafted(book, em, steps, tasks, ((level, ()) for level in accumulate(beside)))


def _drafted(
    book: CostBook,
    em: State,
    steps: Steps,
    tasks: list[list[tuple[Task, int]]],
    beside: Iterator[tuple[int, Tiles]],
) -> Draft:
    """`beside`: of every task, the bytes of fixed buffers and the tiles that live beside it."""
    found = []
    for step, inside in zip(steps, tasks, strict=True):
        total = step.total if isinstance(step, Loop) else 0
        found.append([_line(book, em, total, *task, *next(beside)) for task in inside])
    return Draft(book, em, found)


def _line(
    book: CostBook, em: State, total: int, task: Task, times: int, fixed: int, tiles: Tiles
) -> tuple[Line, Job | None]:
    job, slot = task.job, task.expands
    if slot is not None and not kernel_of(slot.op).menu:
        fixed += _up8(book.scratch_bytes(slot, em, {}))
    if job is None:
        return Line(total, times, fixed, tiles, (), 0, 0, 0, 0, task.instructions), None
    if em.graph.stage != STAGE:  # an outline has nominal operations only
        job = replace(job, op=nominal(job.op, em.type))
    key = book.key(job.op, em)
    return Line(
        total, times, fixed, tiles, key, job.extent, job.heads, job.decided_on, job.lines, 0
    ), job


def own_lives(
    steps: Steps, tasks: Sequence[Sequence[tuple[Task, int]]], outside: set[str]
) -> dict[str, tuple[int, int]]:
    """First and last task of the region's own buffers; `tasks` are those of every step.

    A buffer touched in one loop only lives from its first to its last task there; one touched
    inside and outside lives through the whole loop. (The planner proves the exact figure.)
    """
    touched: dict[str, list[tuple[int, int]]] = {}
    bounds: list[tuple[int, int]] = []
    position = 0
    for n, (step, inside) in enumerate(zip(steps, tasks, strict=True)):
        start, loop = position, n if isinstance(step, Loop) else -1
        for task, _ in inside:
            for span in (*task.reads, *task.writes, *task.scratch):
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


def tasks_of(step: Task | Loop[Task], times: int = 1) -> Iterator[tuple[Task, int]]:
    """The tasks of a step, and how often each runs for one turn of the outermost loop."""
    if isinstance(step, Task):
        yield step, times
        return
    for inner in step.body:
        runs = times if isinstance(inner, Task) else times * -(-inner.total // inner.step)
        yield from tasks_of(inner, runs)


def steps_instructions(steps: Iterable[Step]) -> int:
    """Estimated instructions of a program: whole tiles and the shorter last one."""
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


def _up8(size: int) -> int:
    return (size + 7) & ~7
