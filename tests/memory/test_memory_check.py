"""The checker alone: bounds, alignment, arguments, and the words of its errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from program_maker import Maker, rows
from vit_program import Vit, vit

from mcuformer.memory.check import check
from mcuformer.memory.model import MemoryPlan, Placement, PlanError
from mcuformer.memory.placement import plan
from mcuformer.program.buffers import Addr, Span
from mcuformer.program.calls import Call
from mcuformer.program.expressions import Expr
from mcuformer.program.program import Program

PROGRAM = vit(Vit(tokens_across=3, patch=4, width=16, blocks=1, heads=2, classes=8, tile=4))


def at(made: MemoryPlan, **offsets: int) -> MemoryPlan:
    changed = {n: Placement(n, "arena", offset) for n, offset in offsets.items()}
    return replace(made, placements={**made.placements, **changed})


def test_a_plan_passes() -> None:
    check(PROGRAM, plan(PROGRAM))


@pytest.mark.parametrize("offset", [-8, 100_000])
def test_out_of_bounds(offset: int) -> None:
    with pytest.raises(PlanError, match="buffer x at"):
        check(PROGRAM, at(plan(PROGRAM), x=offset))


def test_misaligned() -> None:
    made = plan(PROGRAM)
    use = replace(made.arenas[0], used_bytes=made.arena_bytes + 4)
    with pytest.raises(PlanError, match="not aligned to 8"):
        check(PROGRAM, replace(at(made, x=made.placements["x"].offset + 4), arenas=(use,)))


def test_two_buffers_needed_at_one_place() -> None:
    made = plan(PROGRAM)
    with pytest.raises(PlanError, match=r"lies on bytes of"):
        check(PROGRAM, at(made, x=0, band=0))


def test_a_span_outside_its_buffer() -> None:
    m = Maker()
    m.layer("only", "any")
    out = m.buffer("out", 8, "output")
    program = m.program([m.call("w", 0, [], [rows(out, 8, 1)])], "out")
    with pytest.raises(PlanError, match=r"bytes 8..16 are outside of buffer out"):
        check(program, plan(program))


def with_argument(argument: Addr) -> Program:
    m = Maker()
    m.layer("only", "any")
    out = m.buffer("out", 8, "output")
    call = Call("w", 0, None, (argument,), (), (Span.whole(out),))
    return m.program([call], "out")


def test_a_pointer_that_no_span_follows() -> None:
    good = with_argument(Addr("out"))
    check(good, plan(good))
    bad = with_argument(Addr("out", Expr(4)))
    with pytest.raises(PlanError, match=r"no argument points at out\+0"):
        check(bad, plan(bad))
