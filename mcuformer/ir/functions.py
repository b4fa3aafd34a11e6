"""The functions of one number: one row each, with all that the compiler has to know of it.

The attribute `fn` of an operation names one: `relu`, or with numbers `clip(-1.0, 1.0)`. The float
evaluator, the tables of the integer code, the importer, the ONNX operators of that name, training
with rounding and the graphs that tests draw read the rows. Values stay in the precision of x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.elementary import ELEMENTARY, UNIT, erf
from mcuformer.ir.function_row import FunctionRow, Number, Spelling

_BLOCK = 2**14  # numbers that a function gets at once


def sigmoid(x: NDArray) -> NDArray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


_MS = "com.microsoft"
_TANH_SLOPE = math.sqrt(2.0 / math.pi)

FUNCTIONS: Mapping[str, FunctionRow] = {
    row.name: row
    for row in (
        FunctionRow(
            "gelu",
            lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
            lambda F, x: F.gelu(x),
            (Spelling("Gelu", fixed={"approximate": "none"}, notes="erf and tanh form"),),
        ),
        FunctionRow(
            "gelu_tanh",
            lambda x: 0.5 * x * (1.0 + np.tanh(_TANH_SLOPE * (x + 0.044715 * x**3))),
            lambda F, x: F.gelu(x, approximate="tanh"),
            (Spelling("Gelu", fixed={"approximate": "tanh"}),),
        ),
        FunctionRow(
            "quick_gelu",
            lambda x, alpha=1.702: x * sigmoid(alpha * x),
            lambda F, x, alpha=1.702: x * F.sigmoid(alpha * x),
            (
                Spelling("QuickGelu", (Number("alpha", 1.702, 1.2, 2.0),), notes=_MS, domain=_MS),
                Spelling("Swish", (Number("alpha", 1.0, 0.5, 2.0),)),
            ),
            ("alpha",),
        ),
        FunctionRow(
            "relu",
            lambda x: np.maximum(x, 0.0),
            lambda F, x: F.relu(x),
            (Spelling("Relu"),),
            clamp=lambda: (0.0, math.inf),
        ),
        FunctionRow(
            "relu6",
            lambda x: np.clip(x, 0.0, 6.0),
            lambda F, x: F.relu6(x),
            (),
            clamp=lambda: (0.0, 6.0),
        ),
        FunctionRow(
            "tanh",
            np.tanh,
            lambda F, x: F.tanh(x),
            (Spelling("Tanh"),),
            grid=UNIT,
        ),
        FunctionRow(
            "sigmoid",
            sigmoid,
            lambda F, x: F.sigmoid(x),
            (Spelling("Sigmoid"),),
            grid=(1 / 255, -128, "int8"),
        ),
        FunctionRow("silu", lambda x: x * sigmoid(x), lambda F, x: F.silu(x), ()),
        FunctionRow(
            "hardsigmoid",
            lambda x, alpha=1 / 6, beta=0.5: np.clip(alpha * x + beta, 0.0, 1.0),
            lambda F, x, alpha=1 / 6, beta=0.5: F.hardtanh(alpha * x + beta, 0.0, 1.0),
            (
                Spelling(
                    "HardSigmoid",
                    (Number("alpha", 0.2, 0.1, 0.5), Number("beta", 0.5, 0.3, 0.6)),
                ),
            ),
            ("alpha", "beta"),
            grid=(1 / 255, -128, "int8"),
        ),
        FunctionRow(
            "hardswish",
            lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
            lambda F, x: F.hardswish(x),
            (Spelling("HardSwish"),),
        ),
        FunctionRow(
            "hardswish_plus",
            lambda x, offset: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0) + x.dtype.type(offset),
            lambda F, x, offset: F.hardswish(x) + offset,
            (),  # an Add behind it (passes/offset_into_function.py)
            ("offset",),
            plain=False,
        ),
        FunctionRow(
            "clip",
            lambda x, low, high: np.clip(x, low, high),  # noqa: PLW0108, bounds come by name
            lambda F, x, low, high: F.hardtanh(x, low, high),
            (),  # the bounds of ONNX's Clip, Min and Max are inputs
            ("low", "high"),
            plain=False,
            clamp=lambda low, high: (low, high),
        ),
        FunctionRow(
            "leaky_relu",
            lambda x, alpha: np.where(x < 0, alpha * x, x),
            lambda F, x, alpha: F.leaky_relu(x, alpha),
            (Spelling("LeakyRelu", (Number("alpha", 0.01, 0.05, 1.2),)),),
            ("alpha",),
            plain=False,
        ),
        FunctionRow(
            "elu",
            lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x),
            lambda F, x, alpha: F.elu(x, alpha),
            (Spelling("Elu", (Number("alpha", 1.0, 0.05, 1.2),)),),
            ("alpha",),
            plain=False,
        ),
        FunctionRow(
            "celu",
            lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0) / alpha), x),
            lambda F, x, alpha: F.celu(x, alpha),
            (Spelling("Celu", (Number("alpha", 1.0, 0.2, 1.2, above=0.0),)),),
            ("alpha",),
            plain=False,
        ),
        FunctionRow(
            "selu",
            lambda x, alpha, gamma: (
                gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x)
            ),
            lambda F, x, alpha, gamma: gamma * F.elu(x, alpha),
            (
                Spelling(
                    "Selu",
                    (
                        Number("alpha", 1.67326319217681884765625, 0.5, 2.0),
                        Number("gamma", 1.05070102214813232421875, 0.5, 1.5),
                    ),
                ),
            ),
            ("alpha", "gamma"),
            plain=False,
        ),
        FunctionRow(
            "softplus",
            lambda x: np.logaddexp(x, 0.0),
            lambda F, x: F.softplus(x),
            (Spelling("Softplus"),),
        ),
        FunctionRow(
            "mish",
            lambda x: x * np.tanh(np.logaddexp(x, 0.0)),
            lambda F, x: F.mish(x),
            (Spelling("Mish"),),
        ),
        FunctionRow(  # of what is no more than 0
            "decay",
            lambda x: np.exp(np.minimum(x, 0.0)),
            lambda F, x: x.clamp(max=0.0).exp(),
            (),
            plain=False,
        ),
        FunctionRow(  # of what is no less than 0
            "log1p",
            lambda x: np.log1p(np.maximum(x, 0.0)),
            lambda F, x: x.clamp(min=0.0).log1p(),
            (),
            plain=False,
        ),
        *ELEMENTARY,
    )
}

SPELLINGS: Mapping[str, tuple[tuple[FunctionRow, Spelling], ...]] = {
    operator: tuple(
        (row, spelling)
        for row in FUNCTIONS.values()
        for spelling in row.onnx
        if spelling.operator == operator
    )
    for operator in dict.fromkeys(s.operator for row in FUNCTIONS.values() for s in row.onnx)
}
"""The functions that an ONNX operator may be, by its name."""


def spelled(
    operator: str, attrs: Mapping[str, Any]
) -> tuple[FunctionRow, tuple[float, ...]] | None:
    """The function that an ONNX operator with these attributes is, and its numbers; None where one
    of them is out of range."""
    found = SPELLINGS.get(operator, ())
    for row, spelling in found:
        defaults = found[0][1].fixed  # the first row is what the operator is without attributes
        if all(attrs.get(key, defaults[key]) == value for key, value in spelling.fixed.items()):
            known = spelling.numbers
            numbers = tuple(float(attrs.get(n.attribute, n.default)) for n in known)
            fine = all(
                math.isfinite(x) and x > n.above for x, n in zip(numbers, known, strict=True)
            )
            return (row, numbers) if fine else None
    return None


def named(name: str, *numbers: float) -> str:
    return f"{name}({', '.join(repr(float(n)) for n in numbers)})" if numbers else name


def split(fn: str) -> tuple[str, tuple[float, ...]]:
    """The name and the numbers of `fn`."""
    name, _, rest = fn.partition("(")
    return name, tuple(float(n) for n in rest.rstrip(")").split(",") if n)


def function(fn: str) -> Callable[[NDArray], NDArray]:
    """What `fn` computes, in numpy."""
    name, numbers = split(fn)
    row = FUNCTIONS[name]
    if row.domain is None:
        return lambda x: _in_blocks(lambda part: row.evaluate(part, *numbers), x)
    low, high = row.domain(*numbers)

    def cut(part: NDArray) -> NDArray:
        with np.errstate(divide="ignore", over="ignore"):
            return row.evaluate(np.clip(part, low, high), *numbers)

    return lambda x: _in_blocks(cut, x)


def _in_blocks(evaluate: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
    """The same numbers; what an activation computes on its way stays in the cache."""
    if x.size <= _BLOCK:
        return evaluate(x)
    flat = x.reshape(-1)
    starts = range(0, flat.size, _BLOCK)
    return np.concatenate([evaluate(flat[i : i + _BLOCK]) for i in starts]).reshape(x.shape)


def ends(fn: str) -> bool:
    """Whether a table over accumulators can follow it."""
    return FUNCTIONS[split(fn)[0]].ends


def clamp_bounds(fn: str | None) -> tuple[float, float] | None:
    """(low, high) of a function that only cuts its argument there, else None."""
    if fn is None:
        return None
    name, numbers = split(fn)
    row = FUNCTIONS.get(name)
    return None if row is None or row.clamp is None else row.clamp(*numbers)
