"""Patches of rows that are made as they are read, and merging in place: the same bits, fewer bytes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_patches import Stage, lowered, run_as
from util_ways import measured

from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.plan import options
from mcuformer.plan.fit import Schedule
from mcuformer.price.book import CostBook
from mcuformer.schedule.build import skeleton
from mcuformer.schedule.patch_views import patch_views
from mcuformer.schedule.regions import Choice, recomputed
from mcuformer.schedule.ways.patch_rows import patch_row_choices, reads_patches

EVERYWHERE = ("host", "unicorn", "qemu")
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


def patch_regions(graph: Graph) -> dict[str, list[Choice]]:
    """The regions that may run so, and how."""
    fr = skeleton(graph, "resident")
    found = [r for r in fr.regions if reads_patches(fr.emitter, r)]
    return {r.name: [*patch_row_choices(fr.emitter, r)] for r in found}


def proved(graph: Graph, pick: int, budget: int) -> Schedule:
    """Every region of patches with one of its choices."""
    picked = {name: choices[pick % len(choices)] for name, choices in patch_regions(graph).items()}
    made = run_as(graph, {name: replace(c, budget=budget) for name, c in picked.items()})
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    return made


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    """Sides that windows need not divide, results narrower and wider than what they are made of."""
    form = draw(st.sampled_from(("tokens", "image", "quads")))
    keys = draw(st.sampled_from((0, 2, 3, 4, 8)))
    size = [draw(st.integers(max(4, keys), 17)) for _ in range(2)]
    size = [n + n % 2 for n in size] if form == "quads" else size
    merge = draw(st.sampled_from((2, 2, 3, 4)))
    return Stage(
        (size[0], size[1]), 2 * draw(st.integers(2, 6)), keys, merge, form, draw(st.booleans()),
        draw(st.sampled_from((4, 9, 16, 30))), draw(st.integers(0, 99)),
    )  # fmt: skip


PICKS = st.integers(0, 59)
BUDGETS = st.sampled_from((0, 600, 65536))
WIDTHS = st.sampled_from(("8", "8", "mixed", "16"))


@settings(max_examples=5, **QUIET)
@given(stages(), PICKS, BUDGETS, WIDTHS)
def test_host_equals_the_interpreter(stage: Stage, pick: int, budget: int, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(proved(lowered(stage, width), pick, budget), Path(folder), ("host",))


@settings(max_examples=3, **QUIET)
@given(stages(), PICKS, BUDGETS, WIDTHS)
def test_everywhere_the_same_bits(stage: Stage, pick: int, budget: int, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(proved(lowered(stage, width), pick, budget), Path(folder), EVERYWHERE)


@pytest.mark.long
@settings(max_examples=60, **QUIET)
@given(stages(), PICKS, BUDGETS, WIDTHS)
def test_many_on_the_host(stage: Stage, pick: int, budget: int, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(proved(lowered(stage, width), pick, budget), Path(folder), ("host",))


@pytest.mark.parametrize("keys", [2, 4, 8])
def test_keys_of_twins(tmp_path: Path, keys: int) -> None:
    """The norm of the stream is never whole; what the planner chooses is as small."""
    graph = lowered(Stage((16, 16), 16, keys, 2, "tokens", False, 32))
    (image, rows), *_ = patch_views(graph).items()
    assert {image, rows} <= recomputed(graph)
    made = scheduled(graph, "resident", "ram")
    assert any(c.schedule == "patches" for c in made.point.choices)
    assert made.plan.arena_bytes < 2 * 16 * 16 * 16 + 5000  # the input and the stream
    follow(made, tmp_path, ("host", "unicorn"))


@pytest.mark.parametrize("goal", ["ram", "speed"])
@pytest.mark.parametrize("form", ["tokens", "image", "quads"])
@pytest.mark.parametrize("norm", [True, False])
def test_merging_in_place(tmp_path: Path, form: str, norm: bool, goal: str) -> None:
    """Half the bytes, over the start of those that they are made of."""
    graph = lowered(Stage((12, 10), 16, 0, 2, form, norm, 32))
    made = scheduled(graph, "resident", goal)
    assert lies_over_what_it_reads(graph)
    follow(made, tmp_path, ("host",))


def lies_over_what_it_reads(graph: Graph) -> bool:
    """Whether the merged rows share a buffer with a value that they are made of."""
    fr = skeleton(graph, "resident")
    (merged,) = (r for r in fr.regions if any(op.name == "merge" for op in r.ops))
    where = fr.emitter.where
    read = [where[n].buffer for op in merged.ops for n in op.inputs if n in where]
    return where[merged.target].buffer in read


@pytest.mark.parametrize(
    "stage",
    [
        Stage((8, 8), 8, 0, 2, "tokens", True, 33),  # wider than what it consumes
        Stage((8, 8), 8, 0, 2, "tokens", True, 16, kept=True),  # of rows that are read again
    ],
)
def test_nothing_is_laid_over_what_is_still_read(tmp_path: Path, stage: Stage) -> None:
    graph = lowered(stage)
    assert not lies_over_what_it_reads(graph)
    follow(proved(graph, -1, 0), tmp_path, ("host",))


def test_wider_rows_lie_over_joined_quads(tmp_path: Path) -> None:
    """Row i is made of row i, the last one first: 33 bytes over 32."""
    graph = lowered(Stage((8, 8), 8, 0, 2, "quads", True, 33))
    assert lies_over_what_it_reads(graph)
    follow(proved(graph, -1, 0), tmp_path, ("host",))


def test_what_is_measured_is_what_is_bound() -> None:
    """Peak by the planner's own lifetimes, instructions call by call."""
    book = CostBook()
    for stage in (Stage((12, 12), 8, 4), Stage((9, 13), 6, 2, 2, "image", False)):
        fr = skeleton(lowered(stage), "resident")
        for region in (r for r in fr.regions if reads_patches(fr.emitter, r)):
            trials = [*options.exact_trials(book, fr, region)]
            sheets = [t.made() for t in trials]
            for sheet in sheets:
                for i in range(0, len(sheet.peak), 7):
                    choice = sheet.choice(i)
                    if choice.schedule == "patches":
                        found = measured(fr, region, choice, book)
                        assert found == (sheet.peak[i], sheet.cost[i]), (region.name, choice)
