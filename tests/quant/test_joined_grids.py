"""Grids of joined values: every part fits, QDQ parts keep theirs, raw pixels get one."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.operators.interpreter import run_int
from mcuformer.quant.pixels import takes_pixels
from mcuformer.quant.rewrites.regrid_parts import regrid_parts

ROWS, WIDTH = 9, 6


def two_joins(seed: int = 0) -> tuple[Net, list[str]]:
    """Joins of (a, b) and (a, c) of equal size, c ten times as large as b."""
    net = Net("joins", seed)
    net.tokens("x", ROWS, WIDTH)
    a, b, c = (net.linear("x", 4, n, gain=g) for n, g in (("a", 1.0), ("b", 1.0), ("c", 10.0)))
    parts = [
        net.emit("concat", f"join.{i}", [a, p], (ROWS, 8), axis=1) for i, p in enumerate((b, c))
    ]
    return net, [net.linear(p, 3, f"y.{i}") for i, p in enumerate(parts)]


def finished(net: Net, outputs: list[str], **more: object) -> Graph:
    meta = {"input_layouts": ("tokens",), "input_shapes": ((1, ROWS, WIDTH),), **more}
    return net.b.done(["x"], outputs, meta)


def sqnr(graph: Graph, samples: np.ndarray) -> list[float]:
    """Of every output, in dB, against the float graph."""
    int_graph = quant.lower(graph, quant.calibrate(graph, samples))
    x = samples[:, 0]
    *_, (_, env) = eval_steps(graph, (x,))
    type_ = int_graph.type("x")
    assert type_.qparams is not None
    values = run_int(int_graph, (type_.qparams.quantise(x, type_.dtype),))
    found = []
    for name in graph.outputs:
        qparams = int_graph.type(name).qparams
        assert qparams is not None
        error = qparams.dequantise(values[name]) - env[name]
        found.append(10 * np.log10(np.square(env[name]).sum() / np.square(error).sum()))
    return found


def samples(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(32, 1, ROWS, WIDTH)).astype(np.float32)


def test_a_range_holds_what_the_largest_member_does_not() -> None:
    """Two joins of one size share a part, so all share a grid: none of them is clipped."""
    net, outputs = two_joins()
    low, high = sqnr(finished(net, outputs), samples())
    assert low > 12 and high > 30


def test_parts_on_other_grids_are_requantised() -> None:
    net, outputs = two_joins()
    given = {"a": (0.01, 0, "int8"), "b": (0.02, 3, "int8"), "join.0": (0.02, 3, "int8"),
             "c": (0.3, -1, "int8")}  # fmt: skip
    graph = finished(net, outputs, qdq=given)
    done = regrid_parts(graph)
    made = [(op.name, op.inputs[0]) for op in done.ops if op.kind == "requant"]
    assert made == [("join.0.a", "a"), ("join.1.a", "a")]  # join.1 takes the widest part's grid
    assert done.meta["qdq"]["join.1"] == given["c"] == done.meta["qdq"]["join.1.a"]
    lowered = quant.lower(graph, quant.synthetic_stats(graph))
    scales = {n: float(lowered.type(n).qparams.scale) for n in ("a", "b", "join.0", "join.1")}  # type: ignore[union-attr]
    assert scales == pytest.approx({"a": 0.01, "b": 0.02, "join.0": 0.02, "join.1": 0.3})


def test_equal_grids_stay() -> None:
    net, outputs = two_joins()
    grid = (0.02, 3, "int8")
    graph = finished(net, outputs, qdq=dict.fromkeys(("a", "b", "c", "join.0", "join.1"), grid))
    assert [op.kind for op in regrid_parts(graph).ops] == [op.kind for op in graph.ops]


def test_who_takes_raw_pixels() -> None:
    net = Net("pixels", 0)
    net.image("image", 6, 6, 3)
    window = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)}
    small = net.emit("maxpool", "pool", ["image"], (3, 3, 3), **window)
    y = net.conv(small, 2, "c", 3, 1, 1)
    graph = net.b.done(["image"], [y], {})
    assert takes_pixels(graph, "image")
    rows = net.emit("reshape", "rows", [small], (1, 27))
    other = net.b.done(["image"], [y, net.linear(rows, 2, "l")], {})
    assert not takes_pixels(other, "image")  # mean and std are no longer per channel
