"""Which outputs leave by lines, and how their numbers lie in the file."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import VitConfig, images, vit

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
