"""Windows, also shifted ones, on the one copy of the stream: rows are permuted where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import follow, scheduled
from util_windows import samples, swin

from mcuformer import quant


@pytest.mark.parametrize(
    ("shifts", "optimize"), [((0, 1), "ram"), ((2, 0), "balanced"), ((0, 1, 2), "speed")]
)
def test_shifted_windows_through_the_chain(
    tmp_path: Path, shifts: tuple[int, ...], optimize: str
) -> None:
    side, window, width = 6, 3, 12
    graph = swin(side, window, width, 2, shifts, 5, "mask")
    lowered = quant.lower(graph, quant.calibrate(graph, samples(side)))
    made = scheduled(lowered, "resident", optimize)
    assert any("window" in c.schedule for c in made.point.choices)
    follow(made, tmp_path, ("host", "unicorn") if optimize == "ram" else ("host",))


def test_no_second_copy_of_the_stream() -> None:
    """Permuted in place, attended to in place: beside the stream, less than a window's rows."""
    side, window, width = 24, 3, 16
    graph = swin(side, window, width, 2, (0, 1), 5)
    lowered = quant.lower(graph, quant.calibrate(graph, samples(side)))
    made = scheduled(lowered, "resident", "ram")
    assert made.plan.arena_bytes < 1.25 * side * side * width
