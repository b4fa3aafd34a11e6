"""Which outputs leave by lines, and how their numbers lie in the file."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import Net, VitConfig, images, vit

from mcuformer import quant
from mcuformer.operators.line_outputs import (
    AS_THEY_COME,
    by_lines,
    first_lines,
    in_file_order,
    order_of,
    orders,
)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 5, 3), (2, 0, 1)),
        ((20, 3), (1, 0)),
        ((3, 4, 5), (1, 0, 2)),
        ((2, 3, 4, 5), (3, 1, 2, 0)),
    ],
)
def test_an_order_is_found(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    numbers = np.arange(int(np.prod(shape)))
    wanted = numbers.reshape(shape).transpose(axes)
    found = order_of(wanted.ravel())
    assert found is not None
    assert np.array_equal(in_file_order(found, numbers, 1).ravel(), wanted.ravel())
    two = np.stack([numbers, numbers + 100]).reshape(2, *shape)
    assert np.array_equal(
        in_file_order(found, two, len(shape)).reshape(2, -1),
        np.stack([wanted.ravel(), wanted.ravel() + 100]),
    )


def test_orders_that_are_none() -> None:
    assert order_of(np.arange(12)) == AS_THEY_COME
    assert order_of(np.array([0, 2, 1, 3, 5, 4])) is None
    x = np.arange(6).reshape(2, 3)
    assert in_file_order(None, x, 2) is x and in_file_order(AS_THEY_COME, x, 2) is x


def test_lines_count_through_all_outputs_that_leave() -> None:
    config = VitConfig(image=(8, 8), blocks=2)
    graph = vit(config)
    rows = [op.outputs[0] for op in graph.ops if op.kind == "layernorm"][:2]
    outputs = (rows[0], *graph.outputs, rows[1])
    shapes = tuple((1, *graph.type(name).shape) for name in outputs)
    graph = graph.replace(outputs=outputs, meta={**graph.meta, "output_shapes": shapes})
    lowered = by_lines(quant.lower(graph, quant.calibrate(graph, images(config, 2))))
    assert [order is None for order in orders(lowered)] == [False, True, False]
    count = lowered.type(rows[0]).shape[0]
    assert first_lines(lowered) == (0, None, count)


def test_moves_that_are_all_of_a_model_stay_in_it() -> None:
    """A program without a layer has nothing that a call could count for."""
    net = Net("moves", 0)
    net.tokens("x", 6, 4)
    flat = net.emit("reshape", "flat", ["x"], (24, 1))
    turned = tuple(np.arange(24).reshape(6, 4).T.ravel().tolist())
    moved = net.emit("gather", "moved", [flat], (24, 1), indices=turned)
    y = net.emit("reshape", "y", [moved], (4, 6))
    graph = net.b.done(["x"], [y], {})
    assert by_lines(graph) is graph
    computed = net.emit("relu", "act", ["x"], (6, 4))
    both = by_lines(net.b.done(["x"], [y, computed], {}))
    assert [op.kind for op in both.ops] == ["reshape", "relu"]
    assert [order is None for order in orders(both)] == [False, False]
