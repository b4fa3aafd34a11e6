"""A gather of nearest pixels becomes a resize with the same numbers, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import Net

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.quant.rewrites.nearest_lines import nearest_lines


def gathered(index: np.ndarray, rows: int = 12) -> Graph:
    net = Net("gathered", 0)
    net.tokens("x", rows, 5)
    attrs = {"indices": tuple(int(i) for i in index)}
    y = net.emit("gather", "near", ["x"], (len(index), 5), **attrs)
    y = net.unary(y, "relu", "act")
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, 5),),
        "output_shapes": ((1, len(index), 5),),
    }
    return net.b.done(["x"], [y], meta)


def grown(height: int, width: int, down: int, across: int) -> np.ndarray:
    return (
        np.arange(height * width).reshape(height, width).repeat(down, 0).repeat(across, 1).ravel()
    )


@pytest.mark.parametrize("shape", [(3, 4, 2, 2), (4, 3, 3, 1), (2, 6, 2, 4), (6, 2, 8, 8)])
def test_whole_factors(shape: tuple[int, int, int, int]) -> None:
    graph = gathered(grown(*shape))
    made = nearest_lines(graph)
    assert [op.kind for op in made.ops] == ["reshape", "resize", "reshape", "unary"]
    x = np.random.default_rng(1).normal(size=(2, 12, 5)).astype(np.float32)
    (*_, (_, before)), (*_, (_, after)) = eval_steps(graph, x), eval_steps(made, x)
    assert np.array_equal(before[graph.outputs[0]], after[made.outputs[0]])


@pytest.mark.parametrize(
    "index",
    [np.arange(12), np.arange(12)[::-1], np.zeros(24, int), np.roll(grown(3, 4, 2, 2), 1),
     grown(1, 12, 1, 2)],
)  # fmt: skip
def test_other_orders_stay(index: np.ndarray) -> None:
    graph = gathered(index)
    assert nearest_lines(graph) is graph
