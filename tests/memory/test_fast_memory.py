"""Panels in tightly coupled memory, at no byte more; the plan stays legal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import programs
from vit_program import Vit, vit

from mcuformer.memory.check import check
from mcuformer.memory.model import Arena, MemoryPlan, arenas_of
from mcuformer.memory.placement import plan
from mcuformer.memory.simulate import simulate
from mcuformer.program.program import Program
from mcuformer.targets.board_file import load_board


def slow_bytes(program: Program, made: MemoryPlan) -> int:
    """Bytes of hinted buffers outside the fast start of their region."""
    regions = {use.arena.name: use.arena for use in made.arenas}
    total = 0
    for name, place in made.placements.items():
        buffer = program.buffers[name]
        end = place.offset + buffer.size_bytes
        over = end - regions[place.arena].fast_bytes
        total += max(0, min(buffer.size_bytes, over)) if buffer.hint == "fast" else 0
    return total


@pytest.mark.parametrize("by_head", (False, True))
def test_all_panels_of_a_vit_lie_in_dtcm(by_head: bool) -> None:
    program = vit(replace(Vit(), by_head=by_head))
    program = _hinted(program, {n for n, b in program.buffers.items() if b.kind == "scratch"})
    regions = arenas_of(load_board("stm32f746"), 2648)
    made = plan(program, regions)
    check(program, made)
    assert made.arena_bytes == plan(program).arena_bytes
    assert slow_bytes(program, made) == 0


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(program=programs(), chosen=st.integers(0, 2**16), fast_bytes=st.integers(1, 400))
def test_random_programs(program: Program, chosen: int, fast_bytes: int) -> None:
    names = {n for i, n in enumerate(program.buffers) if chosen >> i % 16 & 1}
    program = _hinted(program, names)
    made = plan(program, [Arena("sram", 0, 1 << 20, fast_bytes)], rounds=50)
    check(program, made)
    simulate(program, made)
    plain = plan(program, [Arena("sram", 0, 1 << 20)], rounds=50)
    assert made.arena_bytes <= plain.arena_bytes
    assert slow_bytes(program, made) <= slow_bytes(program, replace(plain, arenas=made.arenas))


def _hinted(program: Program, names: set[str]) -> Program:
    buffers = {n: replace(b, hint="fast" if n in names else "") for n, b in program.buffers.items()}
    return replace(program, buffers=buffers)


def test_stack_and_static_data_take_the_first_of_dtcm() -> None:
    (sram,) = arenas_of(load_board("stm32f746"), 3000)
    assert (sram.size_bytes, sram.fast_bytes) == (327_680 - 3000, 65_536 - 3000)
    sram, ccm = arenas_of(load_board("stm32f429"), 3000)
    assert (sram.fast_bytes, ccm.size_bytes) == (0, 65_536)
