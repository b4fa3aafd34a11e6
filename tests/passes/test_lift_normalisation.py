import numpy as np
import pytest
import rewrite

from mcuformer.passes.lift_normalisation import lift_normalisation

GRAPH = """
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 2, 4, 4),)
meta input_pixels = (((0.0, 0.0), (0.5, 0.5)),)
input x: float32[4x4x2]
const c: float32[2] = [1.0, -3.0]
const s: float32[2] = [2.0, 4.0]
const w: float32[3x3x2x5] = rand(1)
a = add(x, c) {} : float32[4x4x2]
b = mul(a, s) {} : float32[4x4x2]
y = conv2d(b, w) {'strides': (1, 1), 'pads': (1, 1, 1, 1), 'group': 1} : float32[4x4x5]
output y
"""


def test_sums_and_products_become_mean_and_std() -> None:
    graph = lift_normalisation(rewrite.float_graph(GRAPH))
    assert rewrite.kinds(graph) == ["conv2d"]
    ((mean, std),) = graph.meta["input_pixels"]  # ((p - 0) / 0.5 + c) * s
    np.testing.assert_allclose(mean, (-0.5, 1.5))
    np.testing.assert_allclose(std, (0.25, 0.125))


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("[2.0, 4.0]", "[2.0, -4.0]"),  # a grid has a positive step
        ("output y", "output y, b"),
        ("b = mul(a, s)", "b = mul(a, a)"),
    ],
)
def test_the_rest_stays(line: str, other: str) -> None:
    graph = lift_normalisation(rewrite.float_graph(GRAPH.replace(line, other)))
    assert rewrite.kinds(graph)[-2:] == ["mul", "conv2d"]


def test_an_input_of_floats() -> None:
    graph = rewrite.float_graph(GRAPH.replace("(((0.0, 0.0), (0.5, 0.5)),)", "(None,)"))
    assert lift_normalisation(graph) is graph
