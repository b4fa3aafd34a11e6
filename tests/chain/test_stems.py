"""Stems of convolutions, run a strip of lines at a time: random chains through every link."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_stems import BUDGETS, LINES, MODES, Layer, Stem, in_strips, lowered, stems

from mcuformer.memory.check import check
from mcuformer.memory.model import Arena
from mcuformer.memory.simulate import simulate
from mcuformer.plan.fit import Schedule

EVERYWHERE = ("host", "unicorn", "qemu")
SRAM = (Arena("sram", 0x20000000, 300_000),)
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


def placed(stem: Stem, width: str, mode: str, lines: int, budget: int) -> Schedule:
    made = in_strips(lowered(stem, width), mode, lines, budget, SRAM)
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    return made


WIDTHS = st.sampled_from(("8", "8", "mixed", "16"))


@settings(max_examples=4, **QUIET)
@given(stems(), MODES, LINES, BUDGETS, WIDTHS)
def test_host_equals_the_interpreter(
    stem: Stem, mode: str, lines: int, budget: int, width: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(placed(stem, width, mode, lines, budget), Path(folder), ("host",))


@settings(max_examples=3, **QUIET)
@given(stems(20), MODES, LINES, BUDGETS, WIDTHS)
def test_everywhere_the_same_bits(
    stem: Stem, mode: str, lines: int, budget: int, width: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(placed(stem, width, mode, lines, budget), Path(folder), EVERYWHERE)


@pytest.mark.parametrize("goal", ["ram", "speed"])
def test_the_choosers_schedules(tmp_path: Path, goal: str) -> None:
    stem = Stem(
        (32, 32), (Layer(8, 3, 1, 1), Layer(12, 3, 2, 1), Layer(16, 3, 2, 1, False)), blocks=1
    )
    follow(scheduled(lowered(stem), "bands", goal), tmp_path, ("host", "unicorn"))


@pytest.mark.parametrize("lines", [1, 3])
def test_a_residual_around_a_chain(tmp_path: Path, lines: int) -> None:
    stem = Stem((17, 14), (Layer(5, 3, 2, 1),), position=False, shortcut=True)
    follow(placed(stem, "8", "bands", lines, 0), tmp_path, ("host",))


@pytest.mark.parametrize("goal", ["balanced", "ram", "speed"])
def test_a_step_that_reads_nothing_again(tmp_path: Path, goal: str) -> None:
    """The last windows lie within one strip: no lines are put aside, nor is there a buffer for them."""
    stem = Stem((12, 15), (Layer(8, 5, 2, 2, False), Layer(0, 4, 3, 0, False)))
    follow(scheduled(lowered(stem), "bands", goal), tmp_path, ("host",))


@pytest.mark.long
@settings(max_examples=40, **QUIET)
@given(stems(), MODES, LINES, BUDGETS, WIDTHS)
def test_many_everywhere(stem: Stem, mode: str, lines: int, budget: int, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(placed(stem, width, mode, lines, budget), Path(folder), EVERYWHERE)
