"""Scales and offsets per channel of an image: on its rows, the same numbers, and few of them in flash."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.text import parse_graph
from mcuformer.quant.rewrites.affine_rows import affine_rows

IMAGE = """
graph g float
meta input_layouts = ('NHWC',)
meta input_shapes = ((1, 4, 5, 3),)
meta output_shapes = ((1, 4, 5, 3),)
input x: float32[4x5x3]
const c: float32[3] = rand(1)
const d: float32[3] = rand(2)
"""
SCALED = (
    IMAGE
    + """
s = mul(x, c) {} : float32[4x5x3]
y = add(d, s) {} : float32[4x5x3]
output y
"""
)
READ_AS_ROWS = (
    IMAGE
    + """
s = mul(x, c) {} : float32[4x5x3]
r = reshape(s) {'shape': (20, 3)} : float32[20x3]
y = mean(r) {} : float32[1x3]
output y
"""
)
LARGER = (
    IMAGE
    + """
const k: float32[1x1x3x3] = rand(3)
a = conv2d(x, k) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (1, 1)} : float32[4x5x3]
m = max(a, MORE) {} : float32[4x5x3]
y = max(m, c) {} : float32[4x5x3]
output y
"""
)
OF_ONE_PIXEL = """
graph g float
meta input_layouts = ('NHWC',)
meta input_shapes = ((1, 4, 5, 3),)
meta output_shapes = ((1, 4, 5, 3),)
input x: float32[4x5x3]
const c: float32[4x5x3] = rand(1)
y = mul(x, c) {} : float32[4x5x3]
output y
"""


def results(text: str) -> tuple[np.ndarray, np.ndarray]:
    graph = parse_graph(text)
    x = np.random.default_rng(0).normal(size=(1, *graph.type("x").shape)).astype(np.float32)
    found = []
    for made in (graph, affine_rows(graph, {})):
        *_, (_, env) = eval_steps(made, x)
        found.append(env["y"])
    return found[0], found[1]


def test_the_same_numbers() -> None:
    for text in (SCALED, READ_AS_ROWS, LARGER.replace("MORE", "x")):
        before, after = results(text)
        np.testing.assert_array_equal(before, after)


def test_operations_are_on_rows() -> None:
    made = affine_rows(parse_graph(SCALED), {})
    assert {made.type(o.outputs[0]).shape for o in made.ops if o.kind != "reshape"} == {(20, 3)}


def test_the_larger_of_two_grids_is_of_rows() -> None:
    """Operands that share the grid of the result need no numbers per channel."""
    made = affine_rows(parse_graph(LARGER.replace("MORE", "x")), {})
    shapes = {op.kind: made.type(op.outputs[0]).shape for op in made.ops if op.kind != "reshape"}
    assert shapes == {"conv2d": (4, 5, 3), "max": (20, 3)}
    two = LARGER.replace("MORE", "b").replace("a = conv", "b = conv2d(x, k) {'group': 1, 'pads': "
        "(0, 0, 0, 0), 'strides': (1, 1)} : float32[4x5x3]\na = conv")  # fmt: skip
    made = affine_rows(parse_graph(two), {})
    assert [made.type(op.outputs[0]).shape for op in made.ops if op.kind == "max"] == [
        (4, 5, 3),
        (20, 3),
    ]


def test_a_reader_of_rows_gets_them() -> None:
    made = affine_rows(parse_graph(READ_AS_ROWS), {})
    assert [o.kind for o in made.ops] == ["reshape", "mul", "mean"]


def test_numbers_of_every_pixel_stay() -> None:
    graph = parse_graph(OF_ONE_PIXEL)
    assert affine_rows(graph, {}) is graph


def test_values_with_a_grid_stay() -> None:
    graph = parse_graph(SCALED)
    assert affine_rows(graph, {"s": 0, "y": 0}) is graph
