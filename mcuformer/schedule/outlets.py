"""Outputs that leave by lines: rows go to the caller as soon as they are made.

A way makes the rows of its target wherever it is told to. Where nothing else reads an output, that
place is a name without bytes, OUTLET: then the tasks that make its rows are given a window for one
tile, and the caller gets it before the next tile is made. No way knows of it. Rows that are made in
another order, or read again, want the output whole for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mcuformer.program.buffers import Addr, Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Env, Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import ATTENTION, CONVOLUTIONS, TOKENWISE, Region
from mcuformer.schedule.tasks import Part, Shown, Steps, Task
from mcuformer.schedule.ways.join import layer_of

OUTLET = "<outlet>"  # no buffer has this name


def needs_no_bytes(em: TaskEmitter, region: Region) -> bool:
    """Whether the region's target only leaves, and a way makes it row by row."""
    kinds = TOKENWISE | CONVOLUTIONS | {ATTENTION}
    leaves = region.target in em.leaving and not em.graph.consumers()[region.target]
    return leaves and region.ops[-1].kind in kinds


def outlet(em: TaskEmitter, value: str) -> Loc:
    row_bytes = em.row_bytes(value)
    return Loc(Expr(), row_bytes, row_bytes, OUTLET)


def handed_out(em: TaskEmitter, region: Region, target: Loc, steps: Steps) -> Steps:
    """`steps` that make the rows of `target`, and give them to the caller."""
    makers = list(_makers(steps, target))
    in_order = _in_order(steps, region.target, em.values[region.target].type.shape[0])
    alone = all(_is_whole(task, target) for task in makers)
    if makers and alone and in_order:
        return list(_by_tiles(em, region, steps, makers, target))
    rows = Rows.all(em.values[region.target].type.shape[0])
    if target.buffer == OUTLET:
        whole = em.rows_buffer(region.target, rows.full)
        steps = list(_moved(steps, str(whole.buffer)))
        target = whole
    return [*steps, *_writes(em, region, target, rows)]


def _makers(steps: Steps | tuple[Task | Loop[Task], ...], target: Loc) -> Iterator[Task]:
    """The tasks that write to the target's buffer, or read an outlet."""
    for step in steps:
        if isinstance(step, Loop):
            yield from _makers(step.body, target)
            continue
        touched = (*step.writes, *(step.reads if target.buffer == OUTLET else ()))
        if any(span.buffer == target.buffer for span in touched):
            yield step


def _is_whole(task: Task, target: Loc) -> bool:
    """Whether a task makes whole rows of the target, shows them, and reads none of an outlet's."""
    if task.shown is None or len(task.writes) != 1:
        return False
    _, y, rows, first_byte = task.shown
    reads = target.buffer == OUTLET and any(span.buffer == OUTLET for span in task.reads)
    same = (y.buffer, y.stride, y.row_bytes) == (target.buffer, target.stride, target.row_bytes)
    return same and not first_byte and not reads and task.writes == y.span(rows.count)


def _in_order(steps: Steps, value: str, total: int) -> bool:
    """Whether the rows of `value` are made one after the other, each once."""
    reached = 0
    for (name, _, rows, _), env in _shown(steps, {}):
        if name == value:
            if rows.first.value(env) != reached:
                return False
            reached += rows.count.value(env)
    return reached == total


def _shown(steps: Steps | tuple[Task | Loop[Task], ...], env: Env) -> Iterator[tuple[Shown, Env]]:
    for step in steps:
        if isinstance(step, Loop):
            for inner in step.iterations(env):
                yield from _shown(step.body, inner)
        elif step.shown is not None:
            yield step.shown, env


def _by_tiles(
    em: TaskEmitter, region: Region, steps: Steps, makers: list[Task], target: Loc
) -> Iterator[Task | Loop[Task]]:
    """Every tile is handed out behind the task that makes it: from where it lies, or from a window."""
    window = None
    if target.buffer == OUTLET:
        tiles = [task.shown[2] for task in makers if task.shown is not None]
        widest = max(tiles, key=lambda rows: rows.full)
        alike = len({rows.total for rows in tiles}) == 1
        count = widest if alike else widest.full
        window = em.rows_buffer(region.target, count, f"{region.target}.lines").buffer

    def told(steps: Steps | tuple[Task | Loop[Task], ...]) -> Iterator[Task | Loop[Task]]:
        for step in steps:
            if isinstance(step, Loop):
                yield replace(step, body=tuple(told(step.body)))
            elif any(step is task for task in makers):
                assert step.shown is not None
                made = step if window is None else _put(step, window, step.shown[1].start)
                assert made.shown is not None
                yield made
                yield from _writes(em, region, made.shown[1], made.shown[2])
            else:
                yield step

    yield from told(steps)


def _moved(
    steps: Steps | tuple[Task | Loop[Task], ...], buffer: str
) -> Iterator[Task | Loop[Task]]:
    """The steps with a buffer for the outlet."""
    for step in steps:
        if isinstance(step, Loop):
            yield replace(step, body=tuple(_moved(step.body, buffer)))
        else:
            yield _put(step, buffer, Expr())


def _put(task: Task, buffer: str, start: Expr) -> Task:
    """`task` with byte `start` of the outlet at the beginning of `buffer`."""

    def span(s: Span) -> Span:
        return replace(s, buffer=buffer, start=s.start + start * -1) if s.buffer == OUTLET else s

    def part(p: Part) -> Part:
        if isinstance(p, Loc) and p.buffer == OUTLET:
            return replace(p, buffer=buffer, start=p.start + start * -1)
        if isinstance(p, Addr) and p.buffer == OUTLET:
            return replace(p, buffer=buffer, offset=p.offset + start * -1)
        return p

    shown = task.shown
    if shown is not None:
        at = part(shown[1])
        assert isinstance(at, Loc)
        shown = shown[0], at, *shown[2:]
    return replace(
        task, parts=tuple(map(part, task.parts)), reads=tuple(map(span, task.reads)),
        writes=tuple(map(span, task.writes)), shown=shown,
    )  # fmt: skip


def _writes(em: TaskEmitter, region: Region, at: Loc, rows: Rows) -> Iterator[Task]:
    """The calls that give rows to the caller, by their numbers among all lines that leave: one for every
    output that the region's target is."""
    layer = layer_of(em, region.ops[-1])
    for first in em.leaving[region.target]:
        yield Task(
            "write_lines", layer, (at.addr, rows.first + first, rows.count), at.span(rows.count),
            (), checked=True,
        )  # fmt: skip
