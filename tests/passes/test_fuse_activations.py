"""Every spelling of an activation is found; what is no known function stays."""

import numpy as np
import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.text import parse_graph
from mcuformer.passes.fuse_activations import fuse_activations

CONSTS = {
    "half": 0.5, "one": 1.0, "three": 3.0, "six": 6.0, "zero": 0.0, "root2": 1.4142135,
    "root_half": 0.70710677, "cubic": 0.044715, "slope": 0.7978846, "quick": 1.702, "two": 2.0,
}  # fmt: skip


def graph_of(*lines: str) -> Graph:
    """Lines "v = Op(args) {attrs}" over x[2, 3]; the last one is the output."""
    head = ["graph g onnx", "input x: float32[2x3]"]
    head += [f"const {n}: float32[] = {v!r}" for n, v in CONSTS.items()]
    body = [f"{line if line.endswith('}') else line + ' {}'} : float32[2x3]" for line in lines]
    return parse_graph("\n".join([*head, *body, f"output {lines[-1].split(' ')[0]}"]))


SPELLINGS = {
    "gelu torch": ("gelu", ["a = Div(x, root2)", "b = Erf(a)", "c = Add(b, one)", "d = Mul(x, c)",
                            "e = Mul(d, half)"]),
    "gelu half first": ("gelu", ["a = Mul(x, root_half)", "b = Erf(a)", "c = Add(one, b)",
                                 "h = Mul(half, c)", "e = Mul(h, x)"]),
    "gelu by halves": ("gelu", ["h = Mul(half, x)", "a = Div(x, root2)", "b = Erf(a)",
                                "m = Mul(h, b)", "e = Add(h, m)"]),
    "gelu native": ("gelu", ["e = Gelu(x)"]),
    "gelu tanh power": ("gelu_tanh", ["p = Pow(x, three)", "m = Mul(p, cubic)", "s = Add(x, m)",
                                      "k = Mul(s, slope)", "t = Tanh(k)", "u = Add(t, one)",
                                      "h = Mul(x, half)", "e = Mul(h, u)"]),
    "gelu tanh products": ("gelu_tanh", ["q = Mul(x, x)", "p = Mul(q, x)", "m = Mul(cubic, p)",
                                         "s = Add(m, x)", "k = Mul(s, slope)", "t = Tanh(k)",
                                         "u = Add(one, t)", "h = Mul(half, u)", "e = Mul(x, h)"]),
    "gelu tanh native": ("gelu_tanh", ["e = Gelu(x) {'approximate': 'tanh'}"]),
    "quick gelu": ("quick_gelu", ["a = Mul(x, quick)", "b = Sigmoid(a)", "e = Mul(x, b)"]),
    "silu": ("silu", ["b = Sigmoid(x)", "e = Mul(x, b)"]),
    "silu by exp": ("silu", ["n = Neg(x)", "p = Exp(n)", "d = Add(p, one)", "e = Div(x, d)"]),
    "hardswish": ("hardswish", ["a = Add(x, three)", "c = Clip(a, zero, six)", "m = Mul(x, c)",
                                "e = Div(m, six)"]),
    "hardswish native": ("hardswish", ["e = HardSwish(x)"]),
    "hardsigmoid": ("hardsigmoid", ["e = HardSigmoid(x) {'alpha': 0.16666667, 'beta': 0.5}"]),
    "hardsigmoid of its own": ("hardsigmoid(0.2, 0.5)", ["e = HardSigmoid(x)"]),
    "leaky relu": ("leaky_relu(0.01)", ["e = LeakyRelu(x)"]),
    "leaky relu of its own": ("leaky_relu(0.5)", ["e = LeakyRelu(x) {'alpha': 0.5}"]),
    "prelu of one slope": ("leaky_relu(0.5)", ["e = PRelu(x, half)"]),
    "leaky relu by a choice": ("leaky_relu(0.5)", ["c = Greater(x, zero)", "b = Mul(x, half)", "e = Where(c, x, b)"]),
    "leaky relu by the other choice": ("leaky_relu(0.5)", ["c = Less(x, zero)", "b = Mul(half, x)",
                                                           "e = Where(c, b, x)"]),
    "leaky relu by two relus": ("leaky_relu(0.5)", ["p = Relu(x)", "n = Neg(x)", "q = Relu(n)", "b = Mul(q, half)",
                                                    "e = Sub(p, b)"]),
    "relu by a choice": ("relu", ["c = GreaterOrEqual(x, zero)", "e = Where(c, x, zero)"]),
    "elu by a choice": ("elu(0.5)", ["c = Greater(x, zero)", "p = Exp(x)", "s = Sub(p, one)", "b = Mul(s, half)",
                                     "e = Where(c, x, b)"]),
    "elu": ("elu(1.0)", ["e = Elu(x)"]),
    "celu": ("celu(1.0)", ["e = Celu(x)"]),
    "selu of its own": ("selu(2.0, 1.5)", ["e = Selu(x) {'alpha': 2.0, 'gamma': 1.5}"]),
    "softplus": ("softplus", ["e = Softplus(x)"]),
    "softplus by exp": ("softplus", ["p = Exp(x)", "s = Add(p, one)", "e = Log(s)"]),
    "mish": ("mish", ["p = Softplus(x)", "t = Tanh(p)", "e = Mul(x, t)"]),
    "mish native": ("mish", ["e = Mish(x)"]),
    "quick gelu of its own": ("quick_gelu(1.5)", ["e = QuickGelu(x) {'alpha': 1.5}"]),
    "clip": ("clip(0.5, 3.0)", ["e = Clip(x, half, three)"]),
    "clip below": ("clip(1.0, inf)", ["e = Max(one, x)"]),
    "clip above": ("clip(-inf, 2.0)", ["e = Min(x, two)"]),
    "relu6": ("relu6", ["e = Clip(x, zero, six)"]),
    "relu by max": ("relu", ["e = Max(x, zero)"]),
    "relu": ("relu", ["e = Relu(x)"]),
    "tanh": ("tanh", ["e = Tanh(x)"]),
    "sigmoid": ("sigmoid", ["e = Sigmoid(x)"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling(name: str) -> None:
    fn, lines = SPELLINGS[name]
    before = graph_of(*lines)
    after = fuse_activations(before)
    assert [(op.kind, op.attrs["fn"]) for op in after.ops] == [("Unary", fn)]
    assert set(after.ops[0].origin) == {line.split(" ")[0] for line in lines}
    x = np.linspace(-6, 6, 6, dtype=np.float32).reshape(2, 3)
    old, new = run_onnx(before, {"x": x}), run_onnx(after, {"x": x})
    np.testing.assert_allclose(old[before.outputs[0]], new[after.outputs[0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "lines",
    [
        ["a = Div(x, two)", "b = Erf(a)", "c = Add(b, one)", "d = Mul(x, c)", "e = Mul(d, half)"],
        ["a = Mul(x, half)", "b = Add(a, one)"],
        ["a = Mul(x, three)", "b = Sigmoid(a)", "e = Mul(x, b)"],
    ],
)
def test_near_misses(lines: list[str]) -> None:
    after = fuse_activations(graph_of(*lines))
    assert not any(op.attrs.get("fn") in ("gelu", "silu", "quick_gelu") for op in after.ops)


def test_a_part_of_a_function_is_one_too() -> None:
    """Of a GELU whose Erf somebody else reads."""
    after = fuse_activations(graph_of("a = Mul(x, half)", "b = Erf(a)"))
    assert [op.attrs.get("fn") for op in after.ops] == [None, "erf"]


def test_a_bound_near_0_is_no_relu() -> None:
    """A logarithm behind it would be that of 0."""
    graph = parse_graph("""
graph g onnx
input x: float32[2x3]
const least: float32[] = 1e-6
a = Clip(x, least) {} : float32[2x3]
b = Log(a) {} : float32[2x3]
output b
""")
    functions = [op.attrs["fn"] for op in fuse_activations(graph).ops]
    assert functions == ["clip(9.999999974752427e-07, inf)", "log"]


def test_scaled_argument_is_no_part_of_the_function() -> None:
    """gelu(3x): the factor stays outside."""
    lines = ["s = Mul(x, three)", "a = Div(s, root2)", "b = Erf(a)", "c = Add(b, one)",
             "d = Mul(s, c)", "e = Mul(d, half)"]  # fmt: skip
    after = fuse_activations(graph_of(*lines))
    assert [op.kind for op in after.ops] == ["Mul", "Unary"]


def test_a_gate_of_two_values_is_no_activation() -> None:
    graph = parse_graph("""
graph g onnx
input x: float32[2x3]
input z: float32[2x3]
b = Sigmoid(x) {} : float32[2x3]
e = Mul(z, b) {} : float32[2x3]
output e
""")
    assert [op.kind for op in fuse_activations(graph).ops] == ["Unary", "Mul"]
