"""Windowed attention (Swin, Twins LSA): rows permuted in place, one window at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import TensorType, Value


def windowed_model(grid: int, window: int, width: int, heads: int, bias: int, seed: int) -> Graph:
    """Tokens of a grid; LN, window partition, attention, reverse, residual, FFN; mean; head."""
    net = Net("windowed", seed)
    rows = grid * grid
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((rows, width), "float32"))
    per = grid // window
    order = np.arange(rows).reshape(per, window, per, window).swapaxes(1, 2).reshape(-1)
    n = net.layernorm(x, "norm1")
    g = net.emit("gather", "partition", [n], (rows, width), indices=tuple(order.tolist()))
    q, k, v = (net.linear(g, width, name) for name in ("q", "k", "v"))
    inputs: list[str | None] = [q, k, v]
    if bias:
        size = window * window
        inputs.append(net.weights("bias", bias, size, size, scale=1.0))
    a = net.emit(
        "attention",
        "attention",
        inputs,
        (rows, width),
        heads=heads,
        scale=(width // heads) ** -0.5,
        windows=per * per,
    )
    p = net.linear(a, width, "proj")
    back = net.emit(
        "gather", "reverse", [p], (rows, width), indices=tuple(np.argsort(order).tolist())
    )
    y = net.add(x, back, "add1")
    h = net.unary(net.linear(net.layernorm(y, "norm2"), 2 * width, "fc1"), "gelu", "act")
    z = net.add(y, net.linear(h, width, "fc2"), "add2")
    m = net.emit("mean", "pool", [z], (1, width))
    head = net.linear(m, 5, "head")
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, width),),
        "output_shapes": ((1, 5),),
    }
    return net.b.done([x], [head], meta)


@pytest.mark.parametrize("bias", [0, 1, 2, 8])
def test_windows_through_the_chain(tmp_path: Path, bias: int) -> None:
    graph = windowed_model(6, 3, 10, 2, bias, seed=bias)
    samples = np.random.default_rng(3).normal(size=(6, 1, 36, 10)).astype(np.float32)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    made = scheduled(lowered, "resident", "balanced")
    assert any(c.schedule == "windows" for c in made.point.choices)
    emulators = ("host", "unicorn", "qemu") if bias == 8 else ("host",)
    follow(made, tmp_path, emulators)


@pytest.mark.parametrize(("pooled", "optimize"), [(4, "balanced"), (3, "balanced"), (4, "ram")])
def test_windows_of_pooled_queries(tmp_path: Path, pooled: int, optimize: str) -> None:
    """Hiera: each window has fewer queries than keys, one for `pooled` rows or, where that does not
    divide the 16 keys, rows of their own."""
    net, width, windows, keys = Net("pooled", 5), 12, 4, 16
    x, rows = "tokens", 64
    net.b.values[x] = Value(x, TensorType((rows, width), "float32"))
    queries = tuple(w * keys + i for w in range(windows) for i in range(0, keys, pooled))
    n = net.layernorm(x, "norm")
    q = net.emit(
        "gather", "few", [net.linear(n, width, "q")], (len(queries), width), indices=queries
    )
    k, v = (net.linear(n, width, name) for name in ("k", "v"))
    attrs = {"heads": 2, "scale": 6**-0.5, "windows": windows}
    a = net.emit("attention", "attention", [q, k, v], (len(queries), width), **attrs)
    y = net.linear(net.unary(net.linear(a, width, "proj"), "gelu", "act"), 3, "head")
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, width),),
        "output_shapes": ((1, len(queries), 3),),
    }
    graph = net.b.done([x], [y], meta)
    samples = np.random.default_rng(3).normal(size=(6, 1, rows, width)).astype(np.float32)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    made = scheduled(lowered, "resident", optimize)
    assert any(c.schedule in ("windows", "window tiles") for c in made.point.choices)
    follow(made, tmp_path, ("host", "unicorn") if pooled == 3 else ("host",))
