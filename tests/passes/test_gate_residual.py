"""x + (x * g * s + c): one product of all rows is left."""

import pytest
import rewrite

from mcuformer.passes.gate_residual import gate_residual

HEAD = """
input x: float32[6x4]
const w: float32[4x4] = rand(1)
const s: float32[4] = rand(2)
const c: float32[4] = rand(3)
a = linear(x, w) {} : float32[6x4]
g = mean(a) {} : float32[1x4]
"""
PLAIN = (
    HEAD
    + """
p = mul(a, g) {} : float32[6x4]
y = add(p, a) {} : float32[6x4]
output y
"""
)
AFFINE = (
    HEAD
    + """
p = mul(g, a) {} : float32[6x4]
q = mul(p, s) {} : float32[6x4]
r = add(c, q) {} : float32[6x4]
t = mul(r, c) {} : float32[6x4]
y = add(a, t) {} : float32[6x4]
output y
"""
)
IMAGE = (
    HEAD
    + """
i = reshape(a) {'shape': (2, 3, 4)} : float32[2x3x4]
p = mul(a, g) {} : float32[6x4]
q = add(p, c) {} : float32[6x4]
r = reshape(q) {'shape': (2, 3, 4)} : float32[2x3x4]
y = add(r, i) {} : float32[2x3x4]
output y
"""
)


def test_the_gate_takes_the_residual_in() -> None:
    after = rewrite.apply(gate_residual, rewrite.float_graph(PLAIN))
    assert rewrite.kinds(after) == ["linear", "mean", "add", "mul"]


def test_constants_go_into_the_gate_and_behind_it() -> None:
    after = rewrite.apply(gate_residual, rewrite.float_graph(AFFINE))
    assert rewrite.kinds(after) == ["linear", "mean", "mul", "add", "mul", "add"]
    assert after.type(after.ops[3].outputs[0]).shape == (1, 4)


def test_reshapes_move_nothing() -> None:
    after = rewrite.apply(gate_residual, rewrite.float_graph(IMAGE))
    assert rewrite.kinds(after) == ["linear", "mean", "add", "mul", "add", "reshape"]


@pytest.mark.parametrize(
    "change",
    [
        ("y = add(p, a)", "y = add(p, x)"),  # another residual
        ("output y", "output y\noutput p"),  # the product is read elsewhere
        ("g = mean(a) {} : float32[1x4]", "g = linear(a, w) {} : float32[6x4]"),  # rows of gates
    ],
)
def test_what_is_no_gated_residual(change: tuple[str, str]) -> None:
    assert change[0] in PLAIN
    graph = rewrite.float_graph(PLAIN.replace(*change))
    assert gate_residual(graph) is graph
