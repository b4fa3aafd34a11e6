"""Rows are handed out as they are made, where they are made in order and whole; else all at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from util_models import VitConfig, sequence_model, tokens

from mcuformer import quant
from mcuformer.operators.line_outputs import by_lines
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.build import Skeleton, skeleton
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.outlets import OUTLET, handed_out, outlet
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Region
from mcuformer.schedule.tasks import Steps, Task

ROWS = 6
CONFIG = VitConfig(width=8, heads=1, head_dim=8, hidden=8, blocks=1, pool="none")


@pytest.fixture(scope="module")
def fr() -> Skeleton:
    graph = sequence_model(CONFIG, ROWS)
    return skeleton(
        by_lines(quant.lower(graph, quant.calibrate(graph, tokens(CONFIG, 2, ROWS)))), "bands"
    )


def last(fr: Skeleton) -> tuple[TaskEmitter, Region, Loc]:
    em, region = fr.fresh(), fr.regions[-1]
    assert region.target not in em.where
    return em, region, outlet(em, region.target)


def task(region: Region, y: Loc, rows: Rows, first_byte: int = 0) -> Task:
    shown = region.target, y, rows, first_byte
    return Task("made", 0, (y, rows.count), (), y.span(rows.count), shown=shown)


def calls(steps: Steps) -> list[str]:
    return [
        f"{s.function}" if isinstance(s, Task) else f"loop({', '.join(calls(list(s.body)))})"
        for s in steps
    ]


def test_a_tile_is_handed_out_before_the_next(fr: Skeleton) -> None:
    em, region, y = last(fr)
    rows = Rows.tile("t", ROWS, 4)
    steps: Steps = [Loop("t", ROWS, 4, (task(region, y.at(rows.first), rows),))]
    done = handed_out(em, region, y, steps)
    assert calls(done) == ["loop(made, write_lines)"]
    loop = done[0]
    assert isinstance(loop, Loop)
    made, written = loop.body
    assert isinstance(made, Task) and isinstance(written, Task)
    (window,) = made.writes
    assert (window.start, em.buffers[window.buffer].size_bytes) == (Expr(), 4 * y.row_bytes)
    assert written.reads == made.writes and written.parts[1:] == (var("t"), rows.count)
    assert em.tiled[window.buffer] == (y.row_bytes, ROWS)


@pytest.mark.parametrize("fault", ["order", "twice", "half", "read", "columns"])
def test_other_rows_are_handed_out_at_the_end(fr: Skeleton, fault: str) -> None:
    em, region, y = last(fr)
    firsts = {"order": (3, 0), "twice": (0, 0, 3), "half": (0,)}.get(fault, (0, 3))
    tiles = [(first, Rows(Expr(first), Expr(3), 3, 3)) for first in firsts]
    made = [task(region, y.at(first), rows) for first, rows in tiles]
    if fault == "read":
        made[1] = replace(made[1], reads=made[1].writes)
    if fault == "columns":
        half = y.columns(4, y.row_bytes - 4)
        made[1] = task(region, half.at(3), tiles[1][1], 4)
    done = handed_out(em, region, y, list(made))
    assert calls(done) == ["made"] * len(made) + ["write_lines"]
    spans = [s for step in done if isinstance(step, Task) for s in (*step.reads, *step.writes)]
    assert OUTLET not in {s.buffer for s in spans}
    assert em.buffers[spans[0].buffer].size_bytes == ROWS * y.row_bytes


def test_rows_that_others_read_are_handed_out_from_where_they_lie(fr: Skeleton) -> None:
    em, region, y = last(fr)
    at = Loc(Expr(8), y.stride, y.row_bytes, em.buffer("stream", 100))
    rows = Rows.tile("t", ROWS, 2)
    steps: Steps = [Loop("t", ROWS, 2, (task(region, at.at(rows.first), rows),))]
    (loop,) = handed_out(em, region, at, steps)
    assert isinstance(loop, Loop)
    made, written = loop.body
    assert isinstance(made, Task) and isinstance(written, Task)
    assert written.reads == made.writes == at.at(rows.first).span(rows.count)
