"""Sums in which everything cancels: what is left is rounding, and fits the grids all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import TensorType, Value


def cancelling(kind: str) -> Graph:
    """The mean of x and -x, or their sum, before a linear layer."""
    net = Net("cancelling", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((9, 6), "float32"))
    minus = net.emit("mul", "minus", [x, net.b.const("one", np.array(-1.0, np.float32))], (9, 6))
    if kind == "mean":
        y = net.emit("concat", "all", [x, minus], (18, 6), axis=0)
        y = net.emit("mean", "mean", [y], (1, 6))
    else:
        y = net.add(x, minus, "sum")
    out = net.linear(y, 5, "head")
    shape = net.b.values[out].type.shape
    meta = {"input_layouts": ("tokens",), "input_shapes": ((1, 9, 6),), "output_shapes": (shape,)}
    return net.b.done([x], [out], meta)


@pytest.mark.parametrize("activations", ["8", "mixed", "16"])
@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_through_the_chain(tmp_path: Path, kind: str, activations: str) -> None:
    graph = cancelling(kind)
    samples = np.random.default_rng(3).normal(size=(16, 9, 6)).astype(np.float32)
    stats = quant.calibrate(graph, samples)
    integers = quant.lower(graph, stats, activations)  # type: ignore[arg-type]
    follow(scheduled(integers, "resident", "balanced"), tmp_path, ("host",))
