"""The replay accepts correct plans and names the overwritten byte of broken ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_maker import Maker, rows
from random_programs import programs
from vit_program import Vit, vit

from mcuformer.memory.check import check
from mcuformer.memory.conflicts import items
from mcuformer.memory.lifetimes import Live
from mcuformer.memory.model import MemoryPlan, Placement, PlanError
from mcuformer.memory.packing import pack
from mcuformer.memory.placement import plan
from mcuformer.memory.simulate import simulate
from mcuformer.program.buffers import Span
from mcuformer.program.expressions import Expr
from mcuformer.program.program import Program

SMALL = Vit(tokens_across=4, patch=4, width=24, blocks=2, heads=2, classes=10, tile=5)
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def moved(made: MemoryPlan, buffer: str, offset: int) -> MemoryPlan:
    place = made.placements[buffer]
    return replace(
        made, placements={**made.placements, buffer: Placement(buffer, place.arena, offset)}
    )


def verdicts(program: Program, made: MemoryPlan) -> tuple[bool, bool]:
    """Whether the checker and the replay accept the plan."""
    accepted = []
    for judge in (check, simulate):
        try:
            judge(program, made)
            accepted.append(True)
        except PlanError:
            accepted.append(False)
    return accepted[0], accepted[1]


@pytest.mark.parametrize("by_head", [False, True])
@pytest.mark.parametrize("resident", [False, True])
def test_vits_replay(by_head: bool, resident: bool) -> None:
    program = vit(replace(SMALL, by_head=by_head, resident=resident))
    made = plan(program)
    check(program, made)
    replay = simulate(program, made)
    assert replay.high_water["arena"] <= made.arena_bytes
    assert replay.executions == sum(1 for _ in program.executions())


@relaxed
@given(programs())
def test_random_programs_replay(program: Program) -> None:
    made = plan(program, rounds=5)
    check(program, made)
    simulate(program, made)


@relaxed
@given(programs(), st.data())
def test_moved_buffers_are_judged_alike(program: Program, data: st.DataObject) -> None:
    """Two judges that share no code agree on whether a random placement is safe."""
    made = plan(program, rounds=0)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(program.buffers)))
        buffer = program.buffers[name]
        room = (made.arena_bytes - buffer.size_bytes) // buffer.align
        made = moved(made, name, data.draw(st.integers(0, max(0, room))) * buffer.align)
    checker, replay = verdicts(program, made)
    assert checker == replay


@pytest.mark.parametrize("by_head", [False, True])
def test_every_moved_buffer_of_a_vit_is_caught(by_head: bool) -> None:
    """Each buffer laid onto one that is alive beside it."""
    program = vit(replace(SMALL, by_head=by_head))
    made = plan(program)
    found = items(list(program.buffers.values()), made.lives)
    for item in found:
        name = item.buffer.name
        for j in item.against:
            victim = made.placements[found[j].buffer.name].offset
            if victim + item.buffer.size_bytes <= made.arena_bytes:
                assert verdicts(program, moved(made, name, victim)) == (False, False), name


def test_every_shortened_lifetime_of_a_vit_is_caught() -> None:
    """A planner that frees a buffer one call too early lays another over it."""
    program = vit(SMALL)
    lives = plan(program).lives
    caught = 0
    for name, spans in lives.items():
        last = spans[-1]
        if last.last == last.first:
            continue
        short = (*spans[:-1], Live(last.first, last.last - 1, last.lo, last.hi))
        found = items(list(program.buffers.values()), {**lives, name: short})
        order = sorted(range(len(found)), key=lambda i: -found[i].buffer.size_bytes)
        broken = pack(order, found, [plan(program).arenas[0].arena], (0,))
        made = plan(program)
        use = replace(made.arenas[0], used_bytes=broken.used[0])
        made = replace(
            made,
            arenas=(use,),
            placements={
                i.buffer.name: Placement(i.buffer.name, "arena", at)
                for i, at in zip(found, broken.offset, strict=True)
            },
        )
        checker, replay = verdicts(program, made)
        assert checker == replay, name
        caught += not replay
    assert caught >= len(lives) // 4


def one_call(write_row: int, read_row: int, overwrites: bool) -> Program:
    """Four rows of 8 bytes read from `read_row`, written from `write_row` of the same buffer."""
    m = Maker()
    m.layer("only", "q_linear")
    x = m.buffer("x", 64)
    out = m.buffer("out", 8, "output")
    steps = [
        m.call("fill", 0, [], [Span.whole(x)]),
        m.call("move", 0, [rows(x, 8, read_row, 4)], [rows(x, 8, write_row, 4)], [], overwrites),
        m.call("use", 0, [rows(x, 8, write_row, 4)], [Span.whole(out)]),
    ]
    return m.program(list(steps), "out")


def test_rows_may_be_overwritten_once_read() -> None:
    for write_row, read_row in ((0, 0), (0, 1), (0, 4), (1, 2)):
        simulate(program := one_call(write_row, read_row, True), plan(program))


def test_a_row_written_before_it_is_read_is_caught() -> None:
    program = one_call(1, 0, True)
    with pytest.raises(PlanError, match=r"row 1 reads byte 8 of x, overwritten by move"):
        simulate(program, plan(program))


def test_undeclared_overwriting_is_caught() -> None:
    program = one_call(0, 0, False)
    assert verdicts(program, plan(program)) == (False, False)


def test_a_read_of_bytes_never_written_is_caught() -> None:
    m = Maker()
    m.layer("only", "q_linear")
    x, out = m.buffer("x", 16), m.buffer("out", 8, "output")
    program = m.program(
        [m.call("half", 0, [], [rows(x, 8)]), m.call("use", 0, [Span.whole(x)], [Span.whole(out)])],
        "out",
    )
    with pytest.raises(PlanError, match="byte 8 of x, which nothing wrote"):
        simulate(program, plan(program))
    with pytest.raises(PlanError, match="x is read before anything wrote it"):
        check(program, plan(program))


def test_deit_tiny_in_single_rows_is_fast_enough() -> None:
    """26,000 executions replayed: about a second."""
    program = vit(Vit(tile=8))
    assert simulate(program, plan(program)).executions > 3000


def test_inputs_that_share_a_byte() -> None:
    """The caller writes one after the other, also what no call reads."""
    m = Maker()
    m.layer("only", "q_linear")
    a, b, out = m.buffer("a", 16, "input"), m.buffer("b", 16, "input"), m.buffer("out", 8, "output")
    first = Span("a", Expr(), 8, 8, Expr(1))  # half of a is never read
    steps = [m.call("use", 0, [first, Span.whole(b)], [Span.whole(out)])]
    program = m.program(steps, "out", "a", (), ("b",))
    made = plan(program)
    assert verdicts(program, made) == (True, True)
    for offset in (0, 8, 15):
        assert verdicts(program, moved(moved(made, a.name, 0), b.name, offset)) == (False, False)
