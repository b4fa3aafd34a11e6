"""Placements against the lower bound and against CP-SAT's optimum."""

from __future__ import annotations

import cProfile
import pstats
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_programs import programs
from vit_program import Vit, vit

from mcuformer.memory.check import check
from mcuformer.memory.model import Arena, MemoryPlan
from mcuformer.memory.placement import plan
from mcuformer.memory.simulate import simulate
from mcuformer.program.buffers import Buffer
from mcuformer.program.program import Program

SHAPES = {
    "deit_tiny": Vit(),
    "small": Vit(tokens_across=7, width=96, blocks=6, classes=100),
    "patch32": Vit(tokens_across=7, patch=32, width=128, blocks=8, heads=4, tile=16),
    "deit_small": Vit(width=384, heads=6, tile=32),
    "mcuformer": Vit(tokens_across=15, width=216, blocks=14, heads=4, tile=32),
    "odd": Vit(tokens_across=5, patch=3, width=30, blocks=3, heads=3, classes=7, tile=7),
}
F429 = (Arena("sram", 0x20000000, 110_000), Arena("ccm", 0x10000000, 65_536))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("variant", ["keep", "by_head", "resident"])
def test_vits_meet_the_lower_bound(name: str, variant: str) -> None:
    shape = replace(SHAPES[name], by_head=variant == "by_head", resident=variant == "resident")
    made = plan(vit(shape))
    assert made.arena_bytes <= 1.01 * made.lower_bound_bytes
    assert made.peak.live_bytes <= made.lower_bound_bytes
    assert max(m.live_bytes for m in made.timeline) == made.peak.live_bytes


def optimum(program: Program, made: MemoryPlan, seconds: float = 5.0) -> int | None:
    """The smallest arena, by CP-SAT; None where it is not proved in time."""
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    model = cp_model.CpModel()
    top = model.new_int_var(0, made.arena_bytes, "top")
    times, places = [], []
    for name, buffer in program.buffers.items():
        unit = model.new_int_var(0, made.arena_bytes // buffer.align, name)
        model.add(unit * buffer.align + buffer.size_bytes <= top)
        for live in made.lives[name]:
            length = live.last + 1 - live.first
            times.append(model.new_fixed_size_interval_var(live.first, length, ""))
            at = unit * buffer.align
            places.append(model.new_interval_var(at + live.lo, live.hi - live.lo, at + live.hi, ""))
    model.add_no_overlap_2d(times, places)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    return int(solver.objective_value) if solver.solve(model) == cp_model.OPTIMAL else None


@pytest.mark.parametrize("name", ["odd", "patch32"])
def test_vits_meet_the_optimum(name: str) -> None:
    program = vit(replace(SHAPES[name], blocks=2))
    made = plan(program)
    best = optimum(program, made, 20.0)
    assert best is not None
    assert made.arena_bytes == best


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs_come_near_the_optimum(program: Program) -> None:
    """Buffers of a few bytes and mixed alignments: harder than any network, within a tenth."""
    made = plan(program)
    assume(made.arena_bytes > made.lower_bound_bytes)
    best = optimum(program, made, 2.0)
    assume(best is not None)
    assert made.arena_bytes <= 1.10 * (best or 0) + 8


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.floats(0.3, 1.0))
def test_split_memory_is_respected(program: Program, share: float) -> None:
    """Whatever fits in neither region overflows the first one, visibly; the rest is safe."""
    whole = plan(program, rounds=0).arena_bytes
    regions = (Arena("a", 0x20000000, int(whole * share)), Arena("b", 0x10000000, whole // 2))
    made = plan(program, regions, rounds=20)
    assert made.arenas[1].missing_bytes == 0
    check(program, made)
    simulate(program, made)


def test_ccm_takes_what_the_main_memory_lacks() -> None:
    program = vit(Vit())
    made = plan(program, F429)
    assert made.fits and made.arena_bytes > F429[0].size_bytes
    assert {p.arena for p in made.placements.values()} == {"sram", "ccm"}
    check(program, made)
    simulate(program, made)


def test_one_region_is_preferred_where_it_is_enough() -> None:
    made = plan(vit(Vit()), (Arena("sram", 0x20000000, 150_000), Arena("ccm", 0x10000000, 65_536)))
    assert [use.used_bytes for use in made.arenas] == [made.lower_bound_bytes, 0]


def test_what_does_not_fit_says_how_much_and_where() -> None:
    program = vit(Vit())
    made = plan(program, (Arena("sram", 0x20000000, 100_000),))
    assert made.missing_bytes == made.arena_bytes - 100_000
    assert not made.fits and made.missing_bytes == 39_584
    names = {layer.id: layer.name for layer in program.layers}
    assert names[made.peak.layer] == "blocks.0.attn.qkv"


def test_hinted_buffers_lie_in_fast_memory() -> None:
    program = vit(Vit())
    hinted = {
        n: replace(b, hint="fast") if b.kind == "scratch" else b for n, b in program.buffers.items()
    }
    program = replace(program, buffers=hinted)
    made = plan(program, (Arena("sram", 0x20000000, 300_000, fast_bytes=65_536),))
    assert made.arena_bytes <= 1.01 * made.lower_bound_bytes
    assert all(
        made.placements[n].offset + b.size_bytes <= 65_536
        for n, b in hinted.items()
        if b.hint == "fast"
    )


def test_offsets_are_aligned() -> None:
    program = vit(SHAPES["odd"])
    buffers = {
        n: Buffer(n, b.size_bytes, 4 if i % 2 else 32, b.kind)
        for i, (n, b) in enumerate(program.buffers.items())
    }
    program = replace(program, buffers=buffers)
    made = plan(program)
    assert all(made.placements[n].offset % b.align == 0 for n, b in buffers.items())
    check(program, made)


def test_equal_programs_give_equal_plans() -> None:
    first, second = plan(vit(SHAPES["odd"])), plan(vit(SHAPES["odd"]))
    assert first.placements == second.placements


def test_a_search_can_afford_it() -> None:
    """14 blocks in a few milliseconds. Counted in function calls, which a busy machine does not change:
    about two million of them take a second."""
    program = vit(SHAPES["mcuformer"])
    profile = cProfile.Profile()
    profile.runcall(plan, program)
    assert pstats.Stats(profile).total_calls < 100_000  # type: ignore[attr-defined]
