"""The order of parallel pieces: against all orders, on random graphs; branches of networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from util_branches import Branches, lowered_branches
from util_models import VitConfig, images, vit

from mcuformer.operators.outline import outline
from mcuformer.quant import calibrate, lower
from mcuformer.schedule.branches import grouped, in_best_order
from mcuformer.schedule.order import Piece, best_order, cost_of


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """Up to 8, each of which reads up to 3 earlier ones."""
    found: list[Piece] = []
    for i in range(draw(st.integers(1, 8))):
        reads = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        size, weight = draw(st.integers(0, 9)), draw(st.integers(0, 2))
        found.append(Piece(tuple(sorted(reads)), size, weight, draw(st.booleans())))
    return found


def orders(given: Sequence[Piece], done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(done) == len(given):
        yield done
    for i, piece in enumerate(given):
        if i not in done and set(piece.reads) <= set(done):
            yield from orders(given, (*done, i))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(pieces())
def test_no_order_has_a_lower_peak(drawn: list[Piece]) -> None:
    best = cost_of(drawn, best_order(drawn))
    assert best.peak == min(cost_of(drawn, order).peak for order in orders(drawn))
    assert not cost_of(drawn, range(len(drawn))) < best


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(pieces())
def test_few_states_are_an_order_too_and_no_worse_than_the_given_one(drawn: list[Piece]) -> None:
    order = best_order(drawn, most=1)
    assert sorted(order) == list(range(len(drawn)))
    assert not cost_of(drawn, range(len(drawn))) < cost_of(drawn, order)


def test_the_small_results_of_a_fusion_come_first() -> None:
    """Two branches of 8 and 2, each of which needs both: the larger one is overwritten last."""
    branches = [Piece((), 8), Piece((), 2), Piece((0, 1), 8), Piece((0, 1), 2)]
    assert best_order(branches) == (1, 0, 3, 2)
    assert cost_of(branches, range(4)).peak == 18
    assert cost_of(branches, (1, 0, 3, 2)).peak == 12


@pytest.mark.parametrize("mode", ["bands", "resident"])
def test_a_network_of_one_stream_stays_as_it_is(mode: str) -> None:
    cfg = VitConfig()
    graph = vit(cfg)
    shapes = outline(lower(graph, calibrate(graph, images(cfg, 2)), "8"))
    assert in_best_order(shapes, mode) is shapes
    assert len(grouped(shapes, "bands")) == 1


def test_every_operation_runs_once_and_after_what_it_reads() -> None:
    graph = lowered_branches(Branches(3, (1, 1), seed=1))
    made = in_best_order(graph, "resident")
    assert made is not graph
    assert sorted(op.name for op in made.ops) == sorted(op.name for op in graph.ops)
    known = {*graph.inputs, *(n for n, v in graph.values.items() if v.is_const)}
    for op in made.ops:
        assert {n for n in op.inputs if n is not None} <= known
        known.update(op.outputs)
