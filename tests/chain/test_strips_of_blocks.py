"""Blocks of convolutions and layers between them, a strip of lines at a time, through every link."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_stems import BUDGETS, LINES, MODES, in_strips
from util_strips import KINDS, Blocks, drawn_blocks, lowered_blocks

from mcuformer.memory.check import check
from mcuformer.memory.model import Arena
from mcuformer.memory.simulate import simulate
from mcuformer.plan.fit import Schedule

SRAM = (Arena("sram", 0x20000000, 300_000),)
WIDTHS = st.sampled_from(("8", "8", "mixed", "16"))
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


def placed(blocks: Blocks, width: str, mode: str, lines: int, budget: int) -> Schedule:
    made = in_strips(lowered_blocks(blocks, width), mode, lines, budget, SRAM)
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    return made


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind(tmp_path: Path, kind: str) -> None:
    """After a block that is wide inside, in one line at a time; odd sizes."""
    made = placed(Blocks((27, 18), ("inverted", kind, "inverted")), "8", "bands", 1, 0)
    follow(made, tmp_path, ("host",))


def test_joined_channels_exist_as_lines_only() -> None:
    """Where a part lies elsewhere, for a branch reads it as well."""
    made = placed(Blocks((32, 32), ("fused",)), "8", "bands", 1, 0)
    joined = [b for b in made.program.buffers.values() if b.name.startswith("blocks.0.fused.join")]
    assert [b.size_bytes for b in joined if "lines" in b.name]
    assert all(b.size_bytes <= 4 * 16 * 13 for b in joined)


@pytest.mark.parametrize("goal", ["balanced", "ram", "speed"])
def test_the_choosers_schedules(tmp_path: Path, goal: str) -> None:
    graph = lowered_blocks(Blocks((26, 31), ("embed", "peg", "ffn", "inverted_down", "bottleneck")))
    follow(scheduled(graph, "bands", goal), tmp_path, ("host", "unicorn"))


@settings(max_examples=4, **QUIET)
@given(drawn_blocks(), MODES, LINES, BUDGETS, WIDTHS)
def test_host_equals_the_interpreter(
    blocks: Blocks, mode: str, lines: int, budget: int, width: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(placed(blocks, width, mode, lines, budget), Path(folder), ("host",))


@settings(max_examples=2, **QUIET)
@given(drawn_blocks(24), MODES, LINES, BUDGETS, WIDTHS)
def test_everywhere_the_same_bits(
    blocks: Blocks, mode: str, lines: int, budget: int, width: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = placed(blocks, width, mode, lines, budget)
        follow(made, Path(folder), ("host", "unicorn", "qemu"))


@pytest.mark.long
@settings(max_examples=40, **QUIET)
@given(drawn_blocks(), MODES, LINES, BUDGETS, WIDTHS)
def test_many_everywhere(blocks: Blocks, mode: str, lines: int, budget: int, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = placed(blocks, width, mode, lines, budget)
        follow(made, Path(folder), ("host", "unicorn"))
