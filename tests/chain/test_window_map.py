"""Padded windows on the one copy of the stream: what is padded is a constant row, and lands nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import follow, scheduled
from util_ways import attending, measured, run_so
from util_windows import samples, swin

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.plan import options
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.build import way_of
from mcuformer.schedule.regions import Choice
from mcuformer.schedule.ways.window_map import by_window_map
from mcuformer.schedule.window_maps import PADDED, window_map


def padded(
    side: int = 5, shifts: tuple[int, ...] = (0, 1), bias: str = "mask", norm: bool = True
) -> Graph:
    """Four windows of nine rows over 25 tokens."""
    graph = swin(side, 3, 12, 2, shifts, 7, bias, norm)
    return quant.lower(graph, quant.calibrate(graph, samples(side)))


@pytest.mark.parametrize("bias", ["", "table", "mask"])
@pytest.mark.parametrize("norm", [True, False])
def test_padded_windows_through_the_chain(tmp_path: Path, bias: str, norm: bool) -> None:
    made = scheduled(padded(bias=bias, norm=norm), "resident", "ram")
    assert any(c.schedule == "window map" for c in made.point.choices)
    follow(made, tmp_path, ("host", "unicorn") if bias == "mask" else ("host",))


@pytest.mark.parametrize("tile", [2, 4, 6])
def test_every_tile(tmp_path: Path, tile: int) -> None:
    made = run_so(padded(shifts=(0,)), attending(Choice("window map", tile, tile, 2048)))
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    follow(made, tmp_path, ("host",))


def test_what_is_measured_is_what_is_bound() -> None:
    book = CostBook()
    skeleton = curve(padded(), "resident", book).exact
    region = next(r for r in skeleton.regions if r.attention is not None)
    made = [t.made() for t in options.exact_trials(book, skeleton, region)]
    found = [(s.peak[i], s.cost[i], s.choice(i)) for s in made for i in range(len(s.peak))]
    ways = {way_of(skeleton.emitter, region, choice) for _, _, choice in found}
    assert ways == {by_window_map}
    for peak, cost, choice in found:
        assert measured(skeleton, region, choice, book) == (peak, cost)


def test_no_second_copy_of_the_stream() -> None:
    side, width, channels = 23, 12, 3  # of the stream, and of the input
    made = scheduled(padded(side, (0, 1, 0), ""), "resident", "ram")
    assert made.plan.arena_bytes < side * side * (1.1 * width + channels)


def test_the_map() -> None:
    graph = padded()
    found = [window_map(graph, op) for op in graph.ops if op.kind == "q_attention"]
    assert len(found) == 2
    for each in found:
        assert each is not None
        rows = [r for r in each.rows if r != PADDED]
        assert sorted(rows) == list(range(25)) and len(each.rows) == 36
        assert [op.kind for op in each.norm] == ["q_layernorm"]


def test_a_row_that_is_wanted_twice_is_no_map() -> None:
    graph = padded()
    twice = [
        op.replace(attrs={"indices": (0, *op.attrs["indices"][:-1])})
        if op.kind == "gather" and len(op.attrs["indices"]) == 25
        else op
        for op in graph.ops
    ]
    broken = graph.replace(ops=tuple(twice))
    assert all(window_map(broken, op) is None for op in broken.ops if op.kind == "q_attention")
