"""The largest set of a graph's tensors in the best order: known answers, and all orders of random graphs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from util_models import Net, VitConfig, images, vit

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes

BENCH = Path(__file__).parents[1] / "bench"
sys.path.append(str(BENCH))

from graph_set import Bound, Piece, Search, largest, largest_of_graph


@st.composite
def drawn_pieces(draw: st.DrawFn) -> list[Piece]:
    """Up to 8, each of which reads up to 3 earlier ones."""
    found: list[Piece] = []
    for i in range(draw(st.integers(1, 8))):
        reads = sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else ())
        over = tuple(n for n in reads if draw(st.booleans()))
        size = draw(st.integers(0, 9))
        found.append(Piece(tuple(reads), size, over, draw(st.booleans()), draw(st.booleans())))
    return found


def peaks(pieces: Sequence[Piece], done: int = 0, live: int = 0, most: int = 0) -> Iterator[int]:
    """Of every order."""
    search = Search(pieces)
    if done == (1 << len(pieces)) - 1:
        yield most
    for i in search.ready(done, (1 << len(pieces)) - 1):
        needs, held = search.step(done, live, i)
        yield from peaks(pieces, done | 1 << i, held, max(most, needs))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(drawn_pieces())
def test_no_order_needs_less_and_one_needs_no_more(pieces: list[Piece]) -> None:
    assert largest(pieces) == Bound(min(peaks(pieces)), exact=True)


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(drawn_pieces())
def test_a_search_that_was_given_up_is_a_lower_bound(pieces: list[Piece]) -> None:
    assert largest(pieces, most=1).size_bytes <= min(peaks(pieces))


def test_the_small_results_of_a_fusion_come_first() -> None:
    """Two branches of 8 and 2, each made of both: the larger one is overwritten last, as order.py has it."""
    given = [Piece((), 8), Piece((), 2), Piece((0, 1), 8, (0,)), Piece((0, 1), 2, (1,))]
    assert largest(given) == Bound(12, exact=True)


def test_a_transformer_needs_stream_norm_and_hidden_layer() -> None:
    """10 tokens of 16 bytes; the hidden layer's 64 beside the norm that it reads and the stream."""
    graph = quantised(VitConfig(hidden=64))
    assert largest_of_graph(graph, "bands") == Bound(10 * (16 + 16 + 64), exact=True)


def test_a_transformer_with_a_narrow_ffn_needs_q_k_and_v() -> None:
    """q, k and v beside the norm that they are made of and the stream; the attention's result is beside
    them, without the norm."""
    graph = quantised(VitConfig(hidden=16))
    assert largest_of_graph(graph, "bands") == Bound(10 * 5 * 16, exact=True)


def test_an_inverted_bottleneck_holds_its_wide_image_twice() -> None:
    """An 8x8 stream of 4 channels, 12 of them wide: the depthwise layer reads one and makes another."""
    net = Net("bottleneck", 0)
    net.image("image", 8, 8, 3)
    stream = net.conv("image", 4, "stem", 3, 1, 1)
    wide = net.conv(stream, 12, "wide", 1, 1, 0)
    deep = net.conv(wide, 12, "deep", 3, 1, 1, 12)
    out = net.add(stream, net.conv(deep, 4, "narrow", 1, 1, 0), "sum")
    graph = lowered(net, out)
    assert largest_of_graph(graph, "bands") == Bound(64 * (4 + 12 + 12), exact=True)
    assert largest_of_graph(graph, "resident") == Bound(64 * (4 + 12 + 12), exact=True)


def lowered(net: Net, out: str) -> Graph:
    shape = net.b.values[out].type.shape
    meta = {
        "input_layouts": ("NCHW",), "input_shapes": ((1, 3, 8, 8),), "output_shapes": ((1, *shape),),
    }  # fmt: skip
    graph = run_float_passes(net.b.done(["image"], [out], meta))
    return quant.lower(graph, quant.calibrate(graph, images(VitConfig(image=(8, 8)), 2)), "8")


def quantised(cfg: VitConfig) -> Graph:
    graph = vit(cfg)
    return quant.lower(graph, quant.calibrate(graph, images(cfg, 2)), "8")
