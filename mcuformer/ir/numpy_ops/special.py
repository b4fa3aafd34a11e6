"""erf and the activation functions, in the precision of their argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.functions import Function

# Rational approximations of erf on [0, 1] and erfc on [1, 8): Cephes ndtr.c (S. Moshier); 1e-15.
_T = (
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
_U = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
_P = (
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
_Q = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)
_ERF_IS_ONE = 6.0  # erf(6) == 1 in float64


def _polynomial(coefficients: tuple[float, ...], x: NDArray) -> NDArray:
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y *= x
        y += c
    return y


def _erf_exact(x: NDArray) -> NDArray:
    """float64, 1e-15."""
    a = np.minimum(np.abs(x), _ERF_IS_ONE)
    inner = a <= 1.0
    small = np.where(inner, a, 0.0)
    square = small * small
    near = small * _polynomial(_T, square) / _polynomial(_U, square)
    far = 1.0 - np.exp(-a * a) * _polynomial(_P, a) / _polynomial(_Q, a)
    return np.copysign(np.where(inner, near, far), x)


_STEP = 1.0 / 512
_GRID = np.arange(0.0, _ERF_IS_ONE + 2 * _STEP, _STEP)
_GRID_ERF = _erf_exact(_GRID)
_GRID_SLOPE = 2.0 / np.sqrt(np.pi) * np.exp(-_GRID * _GRID)


def _erf_tabulated(x: NDArray) -> NDArray:
    """float32: third-order Taylor step from the nearest of 3,073 grid points; error under 1e-11."""
    a = np.minimum(np.abs(x).astype(np.float64), _ERF_IS_ONE)
    i = (a * (1.0 / _STEP) + 0.5).astype(np.int32)
    g = _GRID[i]
    t = a - g
    # erf' = s, erf'' = -2 g s, erf''' = (4 g^2 - 2) s
    y = _GRID_ERF[i] + _GRID_SLOPE[i] * t * (1.0 - t * (g - t * (2.0 * g * g - 1.0) / 3.0))
    return np.copysign(y, x).astype(x.dtype)


def erf(x: NDArray) -> NDArray:
    nan = np.isnan(x)
    if nan.any():
        return np.where(nan, x, erf(np.where(nan, x.dtype.type(0), x)))
    return _erf_exact(x) if x.dtype == np.float64 else _erf_tabulated(x)


def sigmoid(x: NDArray) -> NDArray:
    e = np.exp(-np.abs(x))
    return (np.where(x >= 0, x.dtype.type(1), e) / (1 + e)).astype(x.dtype)


def gelu(x: NDArray) -> NDArray:
    t = x.dtype.type
    return t(0.5) * x * (t(1) + erf(x * t(np.sqrt(0.5))))


def gelu_tanh(x: NDArray) -> NDArray:
    t = x.dtype.type
    return t(0.5) * x * (t(1) + np.tanh(t(np.sqrt(2 / np.pi)) * (x + t(0.044715) * x * x * x)))


def quick_gelu(x: NDArray, alpha: float = 1.702) -> NDArray:
    return x * sigmoid(x * x.dtype.type(alpha))


def relu(x: NDArray) -> NDArray:
    return np.maximum(x, x.dtype.type(0))


def relu6(x: NDArray) -> NDArray:
    return np.clip(x, x.dtype.type(0), x.dtype.type(6))


def hardsigmoid(x: NDArray, alpha: float = 1 / 6, beta: float = 0.5) -> NDArray:
    t = x.dtype.type
    return np.clip(x * t(alpha) + t(beta), t(0), t(1))


def hardswish(x: NDArray) -> NDArray:
    return x * hardsigmoid(x)


def silu(x: NDArray) -> NDArray:
    return x * sigmoid(x)


def leaky_relu(x: NDArray, alpha: float = 0.01) -> NDArray:
    return np.where(x < 0, x * x.dtype.type(alpha), x)


def elu(x: NDArray, alpha: float = 1.0) -> NDArray:
    return np.where(x < 0, x.dtype.type(alpha) * np.expm1(np.minimum(x, x.dtype.type(0))), x)


def clip(x: NDArray, low: float, high: float) -> NDArray:
    return np.clip(x, x.dtype.type(low), x.dtype.type(high))


UNARY: dict[str, Function] = {  # see ir/functions.py
    "gelu": gelu, "gelu_tanh": gelu_tanh, "quick_gelu": quick_gelu, "relu": relu, "relu6": relu6,
    "tanh": np.tanh, "sigmoid": sigmoid, "silu": silu, "hardswish": hardswish,
    "hardsigmoid": hardsigmoid, "clip": clip, "leaky_relu": leaky_relu, "elu": elu,
}  # fmt: skip
