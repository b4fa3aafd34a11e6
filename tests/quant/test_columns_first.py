"""Readers of some channels of a layer read slices of channels: the same numbers, grids and bits."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import rewrites
from mcuformer.quant.rewrites.columns_first import columns_first
from mcuformer.schedule.columns import split_column_views

ROWS, WIDTH = 6, 12  # of a layer with q, k and v of four channels each
THIRDS = tuple(range(0, 3 * ROWS, 3))  # every third row of [3T, C]
TRANSPOSED = tuple(int(i) for i in np.arange(ROWS * WIDTH).reshape(ROWS, WIDTH)[:, 4:8].T.ravel())


def layered(*reads: str) -> Graph:
    """q as every third row of pieces, k transposed, v as channels, or other readers of one layer; their sums."""
    net = Net("layered", 0)
    net.tokens("x", ROWS, 5)
    qkv = net.linear("x", WIDTH, "qkv")
    made = {
        "q": lambda: picked(net, qkv, "q", 4, THIRDS),
        "k": lambda: picked(net, qkv, "k", 1, TRANSPOSED),
        "v": lambda: net.columns(qkv, 8, 12, "v"),
        "part of v": lambda: net.columns(qkv, 9, 11, "part"),
        "rows of q": lambda: net.columns(tail(net, qkv), 0, 4, "tail.q"),
        "overlap": lambda: net.columns(qkv, 6, 10, "overlap"),
        "all": lambda: net.unary(qkv, "relu", "all"),
        "padded q": lambda: picked(
            net, padded(net, qkv), "padded.q", 4, (18, 0, 3, 6, 9, 12, 15, 18)
        ),
        "padded v": lambda: picked(net, padded(net, qkv), "padded.v", 2, (36, 5, 4, 10, 16, 38)),
        "two thirds": lambda: picked(net, qkv, "two", 4, tuple(i for i in range(18) if i % 3)),
    }
    ends = []
    for i, name in enumerate(reads):
        x = net.unary(made[name](), "gelu", f"act.{i}")
        rows = net.emit("mean", f"mean.{i}", [x], (1, net.width(x)))
        ends.append(net.linear(rows, 3, f"end.{i}"))
    out = ends[0]
    for i, end in enumerate(ends[1:]):
        out = net.add(out, end, f"sum.{i}")
    meta = {
        "input_layouts": ("tokens",), "input_shapes": ((1, ROWS, 5),), "output_shapes": ((1, 3),),
    }  # fmt: skip
    return net.b.done(["x"], [out], meta)


def picked(net: Net, x: str, name: str, size: int, rows: tuple[int, ...]) -> str:
    pieces = net.emit("reshape", f"{name}.pieces", [x], (net.rows(x) * WIDTH // size, size))
    return net.emit("gather", name, [pieces], (len(rows), size), indices=rows)


def padded(net: Net, x: str) -> str:
    """A constant row behind the layer's."""
    row = net.b.const("pad", np.full((1, WIDTH), 0.3, np.float32))
    return net.emit("concat", "padded", [x, row], (ROWS + 1, WIDTH), axis=0)


def tail(net: Net, x: str) -> str:
    return net.emit("slice", "tail", [x], (ROWS - 1, WIDTH), axis=0, start=1, stop=ROWS)


def samples() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, ROWS, 5)).astype(np.float32)


EXACT = [
    ("q", "k", "v"), ("k", "v"), ("q", "rows of q", "k", "v", "part of v"),
    ("part of v", "v", "rows of q"), ("rows of q", "q"), ("two thirds", "k", "part of v"),
    ("padded q", "k", "v"), ("q", "k", "padded v"), ("padded q", "q", "rows of q"),
]  # fmt: skip


@pytest.mark.parametrize("reads", EXACT)
def test_numbers_are_the_same_and_only_slices_read_the_layer(reads: tuple[str, ...]) -> None:
    graph = layered(*reads)
    made = columns_first(graph)
    users = made.consumers()["qkv"]
    assert all(u.kind == "slice" and u.attrs["axis"] == 1 for u in users)
    assert sum(u.attrs["stop"] - u.attrs["start"] for u in users) <= WIDTH
    (*_, (_, before)), (*_, (_, after)) = eval_steps(graph, samples()), eval_steps(made, samples())
    assert np.array_equal(before[graph.outputs[0]], after[made.outputs[0]])


@pytest.mark.parametrize("reads", EXACT)
def test_bits_are_the_same(reads: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layered(*reads)
    made = lowered(graph)
    monkeypatch.setattr(rewrites, "columns_first", lambda g: g)
    plain = lowered(graph)
    assert [op.inputs for op in made.ops] != [op.inputs for op in plain.ops]
    x = np.random.default_rng(2).integers(-128, 128, (4, ROWS, 5)).astype(np.int8)
    after, before = (run_int(g, (x,))[g.outputs[0]] for g in (made, plain))
    assert np.array_equal(before, after)


def lowered(graph: Graph) -> Graph:
    return quant.lower(graph, quant.calibrate(graph, (samples(),)), "8")


def test_the_schedule_then_has_layers_of_their_own() -> None:
    graph = split_column_views(lowered(layered("q", "k", "v", "part of v")))
    widths = [graph.type(op.outputs[0]).shape for op in graph.ops if op.inputs[0] == "x"]
    assert widths == [(ROWS, 4)] * 3


@pytest.mark.parametrize("reads", [("q", "k", "all"), ("q", "v", "overlap"), ("v",), ("all",)])
def test_what_wants_all_channels_or_some_twice_stays(reads: tuple[str, ...]) -> None:
    graph = layered(*reads)
    assert columns_first(graph) is graph
