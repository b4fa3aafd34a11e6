"""Parallel branches that are fused, in the order that the planner finds, through every link."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_branches import Branches, drawn_branches, lowered_branches

GOALS = st.sampled_from(("ram", "balanced", "speed"))
MODES = st.sampled_from(("bands", "resident"))
WIDTHS = st.sampled_from(("8", "8", "16"))
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@pytest.mark.parametrize("linear", [False, True])
def test_everywhere_the_same_bits(tmp_path: Path, linear: bool) -> None:
    graph = lowered_branches(Branches(3, (1, 0), linear=linear))
    follow(scheduled(graph, "bands", "ram"), tmp_path, ("host", "unicorn", "qemu"))


@settings(max_examples=4, **QUIET)
@given(drawn_branches(), MODES, GOALS, WIDTHS)
def test_host_equals_the_interpreter(drawn: Branches, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = scheduled(lowered_branches(drawn, width), mode, goal)
        follow(made, Path(folder), ("host",))


@pytest.mark.long
@settings(max_examples=40, **QUIET)
@given(drawn_branches(), MODES, GOALS, WIDTHS)
def test_many(drawn: Branches, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = scheduled(lowered_branches(drawn, width), mode, goal)
        follow(made, Path(folder), ("host", "unicorn"))
