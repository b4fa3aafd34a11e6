"""Rows of the functions that ONNX has by their own names: magnitudes, exponentials, logarithms, angles."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.function_row import NO_TWIN, FunctionRow, Spelling


def _always(low: float, high: float) -> tuple[float, float]:
    return low, high


def _least_base(exponent: float) -> float:
    """Negative numbers have whole powers alone, and 0 none that is negative."""
    if exponent == round(exponent):
        return -math.inf
    return _LEAST if exponent < 0 else 0.0


_LEAST = float(np.finfo(np.float32).tiny)
_NEAR = 2.0**-24
UNIT = (1 / 127, 0, "int8")
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def erf(x: NDArray) -> NDArray:
    """Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7, in float32 below 4e-7."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    poly = t * (_ERF[0] + t * (_ERF[1] + t * (_ERF[2] + t * (_ERF[3] + t * _ERF[4]))))
    return np.sign(x) * (1.0 - poly * np.exp(-np.square(x)))


ELEMENTARY = (
    FunctionRow("abs", np.abs, lambda F, x: x.abs(), (Spelling("Abs"),)),
    FunctionRow("exp", np.exp, lambda F, x: x.exp(), (Spelling("Exp"),)),
    FunctionRow("erf", erf, lambda F, x: x.erf(), (Spelling("Erf"),), grid=UNIT),
    FunctionRow("cosh", np.cosh, lambda F, x: x.cosh(), (Spelling("Cosh"),)),
    FunctionRow("sinh", np.sinh, lambda F, x: x.sinh(), (Spelling("Sinh"),)),
    FunctionRow("asinh", np.arcsinh, lambda F, x: x.asinh(), (Spelling("Asinh"),), ends=False),
    FunctionRow("atan", np.arctan, lambda F, x: x.atan(), (Spelling("Atan"),), ends=False),
    FunctionRow(
        "softsign",
        lambda x: x / (1.0 + np.abs(x)),
        lambda F, x: F.softsign(x),
        (Spelling("Softsign"),),
        grid=UNIT,
        ends=False,
    ),
    *(
        FunctionRow(name, f, twin, (Spelling(name.capitalize()),), grid=UNIT, ends=False)
        for name, f, twin in (
            ("sin", np.sin, lambda F, x: x.sin()),
            ("cos", np.cos, lambda F, x: x.cos()),
        )
    ),
    FunctionRow("tan", np.tan, lambda F, x: x.tan(), (Spelling("Tan"),), plain=False, ends=False),
    *(
        FunctionRow(
            name,
            f,
            NO_TWIN,
            (Spelling(name.capitalize()),),
            plain=False,
            domain=partial(_always, *domain),
            ends=False,
        )
        for name, f, domain in (
            ("log", np.log, (_LEAST, math.inf)),
            ("asin", np.arcsin, (-1.0, 1.0)),
            ("acos", np.arccos, (-1.0, 1.0)),
            ("acosh", np.arccosh, (1.0, math.inf)),
            ("atanh", np.arctanh, (-1.0 + _NEAR, 1.0 - _NEAR)),
        )
    ),
    FunctionRow(
        "pow",
        np.power,
        NO_TWIN,
        (),
        ("exponent",),
        plain=False,
        domain=lambda exponent: (_least_base(exponent), math.inf),
        ends=False,
    ),
)
