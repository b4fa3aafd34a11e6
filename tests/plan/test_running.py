"""What a program says of its regions: their order, who reads whom, which lines lie where."""

from __future__ import annotations

import pytest
from util_branches import Branches, lowered_branches
from util_stems import in_strips
from util_strips import Blocks, lowered_blocks

from mcuformer.ir.graph import Graph
from mcuformer.plan.running import region_runs
from mcuformer.program.program import Program
from mcuformer.schedule.build import skeleton


def blocks(lines: int) -> Program:
    graph = lowered_blocks(Blocks((32, 32), ("inverted", "ffn")))
    return in_strips(graph, "bands", lines, 0).program


def test_regions_read_earlier_ones_and_views_are_none() -> None:
    graph: Graph = lowered_branches(Branches(3, (1, 0)))
    made = skeleton(graph, "bands")
    runs = tuple(region_runs(made, [""] * len(made.regions), {}))
    assert all(j < i for i, run in enumerate(runs) for j in run.reads)
    assert all(run.reads for run in runs[1:])
    assert any(len(run.reads) > 1 for run in runs), "branches meet"
    assert len(runs) <= len(made.regions)
    assert not {n for r in runs for n in r.makes} - {
        n for r in made.regions for n in (r.target, *r.also)
    }


@pytest.mark.parametrize("lines", [1, 2, 1000])
def test_lines_are_those_of_the_buffers(lines: int) -> None:
    """What a picture calls a ring is the buffer that the program has, and nothing else has lines."""
    program = blocks(lines)
    rings = {
        n: b.size_bytes for n, b in program.buffers.items() if ".lines" in n and b.kind != "scratch"
    }
    images = [i for run in program.runs for sweep in run.sweeps for i in sweep.images]
    assert images
    own = [i for i in images if not i.inside and i.room * i.line_bytes > 0]
    for name, size in rings.items():
        assert any(
            name.startswith(i.value) and i.room * i.line_bytes <= size < (i.room + 1) * i.line_bytes
            for i in own
        )
    for image in images:
        (low, kept_end), (start, end) = image.kept, image.made
        assert 0 <= low <= kept_end <= start <= end <= image.height
        assert image.inside or image.room == image.height or end - low <= image.room


def test_steps_and_the_target() -> None:
    program = blocks(2)
    run = next(r for r in program.runs if r.sweeps)
    (sweep,) = run.sweeps
    last = sweep.images[-1]
    assert last.value == run.makes[0] and last.room == last.height
    assert sweep.steps >= last.height // 2 and last.made[1] - last.made[0] <= 2
    assert any(i.source for i in sweep.images)
