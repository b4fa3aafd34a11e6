"""A window's queries in tiles: every piece, the same bits, and the bytes and instructions that were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow
from hypothesis import given
from hypothesis import strategies as st
from test_windows import windowed_model
from util_ways import attending, measured, run_so

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.plan import options
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.regions import Choice
from mcuformer.schedule.ways.window_tiles import pieces


@given(st.integers(2, 300), st.integers(2, 60))
def test_pieces_are_all_rows_and_none_is_one_row(size: int, tile: int) -> None:
    count, rest = pieces(size, tile)
    assert count * tile + rest == size and rest != 1 and 0 <= rest <= tile + 1


def lowered(bias: int) -> Graph:
    """Four windows of nine rows, or as many with sixteen."""
    grid, window = (6, 3) if bias < 4 else (8, 4)
    graph = windowed_model(grid, window, 10, 2, bias, seed=bias)
    samples = np.random.default_rng(3).normal(size=(4, 1, grid * grid, 10)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples))


@pytest.mark.parametrize("bias", [0, 1, 2, 8])  # none, shared, of a head, of a head in a window
@pytest.mark.parametrize("tile", [2, 4, 6])
def test_every_byte_is_the_interpreters(tmp_path: Path, bias: int, tile: int) -> None:
    choice = Choice("window tiles", tile, tile, 0 if tile == 2 else 2048)
    made = run_so(lowered(bias), attending(choice))
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    follow(made, tmp_path, ("host", "unicorn") if bias == 8 and tile == 6 else ("host",))


def test_what_is_measured_is_what_is_bound() -> None:
    """Peak by the planner's own lifetimes, instructions call by call."""
    book = CostBook()
    trade = curve(lowered(2), "resident", book)
    skeleton = trade.exact
    (region,) = (r for r in skeleton.regions if r.attention is not None)
    made = [t.made() for t in options.exact_trials(book, skeleton, region)]
    found = [(s.peak[i], s.cost[i], s.choice(i)) for s in made for i in range(len(s.peak))]
    tiles = [f for f in found if f[2].schedule == "window tiles"]
    assert {choice.tile for _, _, choice in tiles} == {2, 4, 6}
    for peak, cost, choice in tiles:
        assert measured(skeleton, region, choice, book) == (peak, cost)


def test_fewer_bytes_than_whole_windows() -> None:
    """K and V of nine rows and tiles of two, where q, K, V and the output were nine rows each."""
    graph = lowered(0)
    whole, tiles = (
        run_so(graph, attending(choice)).plan.arena_bytes
        for choice in (Choice("windows"), Choice("window tiles", 2, 2))
    )
    assert tiles < whole
    chosen = curve(graph, "resident", CostBook()).points[-1].choices
    assert any(c.schedule == "window tiles" for c in chosen)
