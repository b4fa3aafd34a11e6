"""Elementwise ONNX operators, with numpy broadcasting, in the type of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.functions import function
from mcuformer.ir.numpy_ops import special
from mcuformer.ir.numpy_ops.base import Args, Attrs, Kernel, need, optional, stable


def unary(f: Callable[[NDArray], NDArray]) -> Kernel:
    quiet = stable(f)

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        x = need(args, 0)
        return (np.asarray(quiet(x)).astype(x.dtype),)

    return run


def binary(f: Callable[[NDArray, NDArray], NDArray], bool_out: bool = False) -> Kernel:
    quiet = stable(f)

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        a, b = need(args, 0), need(args, 1)
        return (np.asarray(quiet(a, b)).astype(np.bool_ if bool_out else a.dtype),)

    return run


def variadic(f: Callable[[NDArray, NDArray], NDArray], mean: bool = False) -> Kernel:
    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        present = [a for a in args if a is not None]
        total = np.asarray(reduce(f, present))
        return ((total / len(present)).astype(total.dtype) if mean else total,)

    return run


def divide(a: NDArray, b: NDArray) -> NDArray:
    if not np.issubdtype(a.dtype, np.integer):
        return np.divide(a, b)
    # integers are cut towards zero, as C does
    quotient = np.floor_divide(a, b)
    wrong = (quotient < 0) & (quotient * b != a)
    return quotient + wrong.astype(a.dtype)


def modulo(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    a, b = need(args, 0), need(args, 1)
    f = np.fmod if attrs.get("fmod", 0) else np.mod
    return (stable(f)(a, b),)


def clip(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, low, high = need(args, 0), optional(args, 1), optional(args, 2)
    if low is not None:
        x = np.maximum(x, low)
    if high is not None:
        x = np.minimum(x, high)
    return (x,)


def where(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.where(need(args, 0), need(args, 1), need(args, 2)),)


def cast(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """`to` is a numpy dtype here: the importer translates ONNX's number."""
    x = need(args, 0)
    with np.errstate(all="ignore"):
        return (x.astype(attrs["to"]),)


def gelu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    tanh = attrs.get("approximate", "none") == "tanh"
    return ((special.gelu_tanh(x) if tanh else special.gelu(x)).astype(x.dtype),)


def quick_gelu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (special.quick_gelu(need(args, 0), attrs.get("alpha", 1.702)),)


def named_unary(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Not in ONNX: what `passes/fuse_activations.py` leaves."""
    return (function(special.UNARY, attrs["fn"])(need(args, 0)),)


def hard_sigmoid(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    alpha, beta = attrs.get("alpha", 0.2), attrs.get("beta", 0.5)
    return (special.hardsigmoid(need(args, 0), alpha, beta),)


def leaky_relu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (special.leaky_relu(need(args, 0), attrs.get("alpha", 0.01)),)


def elu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (special.elu(need(args, 0), attrs.get("alpha", 1.0)),)


def prelu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, slope = need(args, 0), need(args, 1)
    return (np.where(x < 0, x * slope, x),)


def is_inf(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    up, down = attrs.get("detect_positive", 1), attrs.get("detect_negative", 1)
    return ((np.isposinf(x) & bool(up)) | (np.isneginf(x) & bool(down)),)


def is_nan(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.isnan(need(args, 0)),)


def identity(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (need(args, 0),)


def dropout(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Inference only: the data as they are, and a mask of ones."""
    x = need(args, 0)
    return (x, np.ones(x.shape, np.bool_))[:n_out]


KERNELS: dict[str, Kernel] = {
    "Add": binary(np.add), "Sub": binary(np.subtract), "Mul": binary(np.multiply),
    "Div": binary(divide), "Pow": binary(np.power), "Mod": modulo,
    "Equal": binary(np.equal, True), "Less": binary(np.less, True),
    "Greater": binary(np.greater, True), "LessOrEqual": binary(np.less_equal, True),
    "GreaterOrEqual": binary(np.greater_equal, True),
    "And": binary(np.logical_and, True), "Or": binary(np.logical_or, True),
    "Xor": binary(np.logical_xor, True), "Not": unary(np.logical_not),
    "Min": variadic(np.minimum), "Max": variadic(np.maximum), "Sum": variadic(np.add),
    "Mean": variadic(np.add, mean=True),
    "Neg": unary(np.negative), "Abs": unary(np.abs), "Sign": unary(np.sign),
    "Reciprocal": unary(np.reciprocal), "Floor": unary(np.floor), "Ceil": unary(np.ceil),
    "Round": unary(np.rint), "Sqrt": unary(np.sqrt), "Exp": unary(np.exp), "Log": unary(np.log),
    "Sin": unary(np.sin), "Cos": unary(np.cos), "Erf": unary(special.erf),
    "Tanh": unary(np.tanh), "Sigmoid": unary(special.sigmoid), "Relu": unary(special.relu),
    "HardSwish": unary(special.hardswish), "HardSigmoid": hard_sigmoid,
    "LeakyRelu": leaky_relu, "Elu": elu, "PRelu": prelu,
    "Softplus": unary(lambda x: np.logaddexp(x, np.zeros_like(x))),
    "Unary": named_unary, "Gelu": gelu, "QuickGelu": quick_gelu, "Clip": clip, "Where": where,
    "Cast": cast,
    "IsInf": is_inf, "IsNaN": is_nan, "Identity": identity, "Dropout": dropout,
}  # fmt: skip
