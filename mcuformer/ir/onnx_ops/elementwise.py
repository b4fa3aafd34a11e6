"""Elementwise ONNX operators, with numpy broadcasting, in the type of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.functions import SPELLINGS, function, spelled
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    BOOL,
    FIRST,
    Args,
    Attrs,
    NodeEvaluation,
    OnnxOp,
    Shape,
    Types,
    Use,
    broadcast,
    need,
    operand_type,
    optional,
    same_shape,
    stable,
)


def unary(f: Callable[[NDArray], NDArray]) -> NodeEvaluation:
    quiet = stable(f)

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        x = need(args, 0)
        return (np.asarray(quiet(x)).astype(x.dtype),)

    return run


def binary(f: Callable[[NDArray, NDArray], NDArray], bool_out: bool = False) -> NodeEvaluation:
    quiet = stable(f)

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        a, b = need(args, 0), need(args, 1)
        return (np.asarray(quiet(a, b)).astype(np.bool_ if bool_out else a.dtype),)

    return run


def variadic(f: Callable[[NDArray, NDArray], NDArray], mean: bool = False) -> NodeEvaluation:
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


def named_unary(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Not in ONNX: what `passes/fuse_activations.py` leaves."""
    return unary(function(attrs["fn"]))(attrs, args, n_out)


def _single(x: NDArray) -> NDArray:
    """Half precision has too few bits for what lies between."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def known_function(operator: str) -> NodeEvaluation:
    """An operator that is a function of one number (`ir/functions.py`)."""

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        found = spelled(operator, attrs)
        if found is None:
            raise ValueError(f"{operator} with attributes {dict(attrs)}")
        row, numbers = found
        return unary(lambda x: row.evaluate(_single(x), *numbers))(attrs, args, n_out)

    return run


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


def _clip_shape(op: Op, types: Types, data: Args) -> list[Shape]:
    return broadcast(op, types[:1], data)  # its bounds are scalars


def _target(op: Op, types: Types, data: Args) -> str:
    return str(op.attrs["to"])


def _row(name: str, use: Use, evaluate: NodeEvaluation, notes: str = "") -> OnnxOp:
    return OnnxOp(name, use, broadcast, FIRST, evaluate, notes)


def _test(name: str, evaluate: NodeEvaluation) -> OnnxOp:
    return OnnxOp(name, "folded", broadcast, BOOL, evaluate)


_SIMPLE = (
    _row("Add", "compiled", binary(np.add)), _row("Sub", "compiled", binary(np.subtract)),
    _row("Mul", "compiled", binary(np.multiply)), _row("Sum", "compiled", variadic(np.add)),
    _row("Div", "compiled", binary(divide), "by a constant, or by an activation in 16 bits"),
    _row("Neg", "compiled", unary(np.negative)),
    _row("Pow", "compiled", binary(np.power), "constant exponent, or constant base"),
    _row("PRelu", "compiled", prelu, "constant slope"),
    _row("Sqrt", "compiled", unary(np.sqrt), "of 16 bits, or inside a normalisation"),
    _row("Reciprocal", "compiled", unary(np.reciprocal), "of 16 bits, or inside a normalisation"),
    _row("Max", "compiled", variadic(np.maximum)), _row("Min", "compiled", variadic(np.minimum)),
    _row("Identity", "removed", identity), _row("Mod", "folded", modulo),
    _row("Sign", "folded", unary(np.sign)), _row("Round", "folded", unary(np.rint)),
    _row("Floor", "folded", unary(np.floor)), _row("Ceil", "folded", unary(np.ceil)),
    _row("Mean", "compiled", variadic(np.add, mean=True)),
)  # fmt: skip
_TESTS = (
    _test("Equal", binary(np.equal, True)), _test("Less", binary(np.less, True)),
    _test("Greater", binary(np.greater, True)), _test("LessOrEqual", binary(np.less_equal, True)),
    _test("GreaterOrEqual", binary(np.greater_equal, True)),
    _test("And", binary(np.logical_and, True)), _test("Or", binary(np.logical_or, True)),
    _test("Xor", binary(np.logical_xor, True)), _test("Not", unary(np.logical_not)),
    _test("IsInf", is_inf),
)  # fmt: skip
_FUNCTIONS = tuple(
    OnnxOp(
        name,
        "compiled",
        broadcast,
        FIRST,
        known_function(name),
        found[0][1].notes,
        domain=found[0][1].domain,
    )
    for name, found in SPELLINGS.items()
)
ROWS = (
    *_SIMPLE,
    *_TESTS,
    *_FUNCTIONS,
    OnnxOp("Clip", "compiled", _clip_shape, FIRST, clip, "constant bounds"),
    OnnxOp("Where", "compiled", broadcast, operand_type(1), where, "constant mask"),
    OnnxOp("Dropout", "removed", broadcast, FIRST, dropout, later="bool"),
    OnnxOp("Cast", "removed", same_shape, _target, cast, "between float types"),
    OnnxOp("IsNaN", "removed", broadcast, BOOL, is_nan, "always false"),
)
UNARY = _row("Unary", "compiled", named_unary)
