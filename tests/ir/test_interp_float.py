"""The canonical interpreter against plain definitions, loop by loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.elementary import erf
from mcuformer.ir.functions import FUNCTIONS, function, split
from mcuformer.ir.interp_float import run_float
from mcuformer.ir.layout import to_canonical
from mcuformer.ir.optable import FLOAT_OPS
from mcuformer.ir.text import parse_graph

RNG = np.random.default_rng(0)


def rand(*shape: int) -> NDArray:
    return RNG.standard_normal(shape).astype(np.float32)


def run(kind: str, *args: NDArray | None, **attrs: object) -> NDArray:
    """One sample: a batch of one of q, k and v, or of the first operand; the rest are constants."""
    count = 3 if kind == "attention" else 1
    given = [a[None] if i < count and a is not None else a for i, a in enumerate(args)]
    return FLOAT_OPS[kind].evaluate(attrs, given)[0]


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(("strides", "pads"), [((1, 1), (1, 1, 1, 1)), ((2, 3), (0, 1, 2, 0))])
def test_conv2d(group: int, strides: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
    x, w, b = rand(6, 7, 4), rand(3, 2, 4 // group, 8), rand(8)
    y = run("conv2d", x, w, b, strides=strides, pads=pads, group=group)
    top, left, bottom, right = pads
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            window = padded[i * strides[0] :, j * strides[1] :][:3, :2]
            for o in range(8):
                g = o // (8 // group)
                channels = window[:, :, g * (4 // group) : (g + 1) * (4 // group)]
                assert y[i, j, o] == pytest.approx((channels * w[..., o]).sum() + b[o], abs=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_layernorm(groups: int) -> None:
    x, g, b = rand(4, 6), rand(6), rand(6)
    y = run("layernorm", x, g, b, eps=1e-3, groups=groups)
    parts = x.reshape(4, groups, -1)
    want = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, want.reshape(4, 6) * g + b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias_heads", [None, 1, 2])
@pytest.mark.parametrize("windows", [1, 3])
def test_attention(bias_heads: int | None, windows: int) -> None:
    tq, tk, d, dv = 2, 5, 3, 4
    q, k, v = rand(windows * tq, 2 * d), rand(windows * tk, 2 * d), rand(windows * tk, 2 * dv)
    bias = None if bias_heads is None else rand(bias_heads, tq, tk)
    y = run("attention", q, k, v, bias, heads=2, scale=0.3, windows=windows)
    for w in range(windows):
        for h in range(2):
            for i in range(tq):
                row = q[w * tq + i, h * d : (h + 1) * d]
                keys = k[w * tk : (w + 1) * tk, h * d : (h + 1) * d]
                scores = keys @ row * 0.3
                if bias is not None:
                    scores = scores + bias[h % len(bias), i]
                p = np.exp(scores - scores.max())
                want = p / p.sum() @ v[w * tk : (w + 1) * tk, h * dv : (h + 1) * dv]
                np.testing.assert_allclose(
                    y[w * tq + i, h * dv : (h + 1) * dv], want, rtol=1e-4, atol=1e-5
                )


def test_bias_per_window_and_head() -> None:
    q, k, v, bias = rand(4, 4), rand(6, 4), rand(6, 4), rand(4, 2, 3)
    y = run("attention", q, k, v, bias, heads=2, scale=1.0, windows=2)
    second = run("attention", q[2:], k[3:], v[3:], bias[2:], heads=2, scale=1.0)
    np.testing.assert_allclose(y[2:], second, rtol=1e-5)


def test_pools() -> None:
    x = rand(4, 4, 2)
    attrs = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)}
    blocks = x.reshape(2, 2, 2, 2, 2)
    np.testing.assert_allclose(run("maxpool", x, **attrs), blocks.max((1, 3)))
    np.testing.assert_allclose(run("avgpool", x, **attrs), blocks.mean((1, 3)), rtol=1e-5)
    edge = run("maxpool", x - 10, kernel=(3, 3), strides=(3, 3), pads=(1, 1, 1, 1))
    assert edge.max() < 0  # padding is no candidate


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 4e-7), (np.float64, 1.6e-7)])
def test_erf(dtype: type, error: float) -> None:
    x = np.concatenate([np.linspace(-7, 7, 5001), [0.0, 1.0, -1.0, 1e-8, 40.0, -np.inf, np.inf]])
    want = np.asarray([math.erf(v) for v in x.astype(dtype)])
    got = erf(x.astype(dtype))
    assert got.dtype == dtype and np.abs(got - want).max() < error
    assert np.isnan(erf(np.asarray([np.nan, 1.0], dtype))[0])


# What float32 leaves of values in the hundreds and near a pole, relative; of all others 1e-7.
STEEP = {"exp": 1e-6, "cosh": 1e-6, "sinh": 1e-6, "pow(3.0)": 1e-6, "tan": 2e-4}


def test_activation_functions() -> None:
    x = np.linspace(-8, 8, 333)
    sig = 1 / (1 + np.exp(-x))
    want = {
        "gelu": [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x],
        "gelu_tanh": 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "quick_gelu": x / (1 + np.exp(-1.702 * x)), "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6), "tanh": np.tanh(x), "sigmoid": sig, "silu": x * sig,
        "hardsigmoid": np.clip(x / 6 + 0.5, 0, 1), "hardswish": x * np.clip(x / 6 + 0.5, 0, 1),
        "hardswish_plus(-0.4)": x * np.clip(x / 6 + 0.5, 0, 1) - 0.4,
        "hardsigmoid(0.2, 0.4)": np.clip(0.2 * x + 0.4, 0, 1), "clip(-1.0, inf)": np.clip(x, -1, 99),
        "celu(0.7)": np.where(x < 0, 0.7 * (np.exp(x / 0.7) - 1), x),
        "selu(1.6, 1.05)": 1.05 * np.where(x < 0, 1.6 * (np.exp(x) - 1), x),
        "softplus": np.log(1 + np.exp(x)), "mish": x * np.tanh(np.log(1 + np.exp(x))),
        "decay": np.exp(np.minimum(x, 0)), "log1p": np.log(1 + np.maximum(x, 0)),
        "leaky_relu(0.1)": np.maximum(x, 0.1 * x), "elu(0.7)": np.where(x < 0, 0.7 * (np.exp(x) - 1), x),
        "abs": np.abs(x), "exp": np.exp(x), "erf": [math.erf(v) for v in x], "cosh": np.cosh(x),
        "sinh": np.sinh(x), "asinh": np.arcsinh(x), "atan": np.arctan(x), "softsign": x / (1 + np.abs(x)),
        "sin": np.sin(x), "cos": np.cos(x), "tan": np.tan(x), "asin": np.arcsin(np.clip(x, -1, 1)),
        "log": np.log(np.maximum(x, 2.0**-126)), "acos": np.arccos(np.clip(x, -1, 1)),
        "acosh": np.arccosh(np.maximum(x, 1)), "atanh": np.arctanh(np.clip(x, 2.0**-24 - 1, 1 - 2.0**-24)),
        "pow(1.5)": np.maximum(x, 0) ** 1.5, "pow(3.0)": x**3,
    }  # fmt: skip
    assert {split(name)[0] for name in want} == set(FUNCTIONS)
    for name, values in want.items():
        exact = 2e-6 if name in ("gelu", "erf") else 1e-12  # its erf has 1.5e-7
        np.testing.assert_allclose(function(name)(x), values, atol=exact, err_msg=name)
        got = run("unary", x.astype(np.float32), fn=name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, values, STEEP.get(name, 1e-7), 2e-6, err_msg=name)


IMAGE = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 2, 4),)
input x: float32[2x4x3]
y = reshape(x) {'shape': (8, 3)} : float32[8x3]
output y
"""


def test_input_layout() -> None:
    graph, x = parse_graph(IMAGE), rand(1, 3, 2, 4)
    assert np.array_equal(to_canonical(graph, x)[0][0], x[0].transpose(1, 2, 0))
    assert np.array_equal(run_float(graph, x[0])["y"], x[0].transpose(1, 2, 0).reshape(8, 3))
    with pytest.raises(UsageError, match=r"\[1, 3, 2, 4\]"):
        run_float(graph, rand(1, 2, 4, 3))
