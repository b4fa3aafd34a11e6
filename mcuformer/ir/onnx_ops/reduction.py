"""ONNX operators over axes (reductions, cumulative sums, softmax) and those that make shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops import arithmetic
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    FIRST,
    INDEX,
    Args,
    Attrs,
    NodeEvaluation,
    OnnxOp,
    Shape,
    Types,
    Use,
    axes_of,
    by_zeros,
    ints,
    ints_of,
    need,
    same_shape,
    shape_of,
    wrapped,
)


def reduction(f: Callable[..., NDArray], empty: float | None = None) -> NodeEvaluation:
    """`empty` is the result over no elements where numpy refuses to give one."""

    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        x, axes = need(args, 0), axes_of(attrs, args, 1)
        if not axes and attrs.get("noop_with_empty_axes", 0):
            return (x,)
        axis = tuple(axes) if axes else None
        options: dict[str, object] = {"axis": axis, "keepdims": bool(attrs.get("keepdims", 1))}
        if empty is not None:
            options["initial"] = _limit(x.dtype, empty)
        with np.errstate(all="ignore"):
            return (np.asarray(f(x, **options)).astype(x.dtype),)

    return run


def _limit(dtype: np.dtype, sign: float) -> object:
    if dtype == np.bool_:
        return sign > 0
    if np.issubdtype(dtype, np.floating):
        return dtype.type(sign * np.inf)
    info = np.iinfo(dtype)
    return info.max if sign > 0 else info.min


def _mean(x: NDArray, axis: object, keepdims: bool) -> NDArray:
    wide = np.float64 if np.issubdtype(x.dtype, np.floating) else None
    return np.mean(x, axis=axis, keepdims=keepdims, dtype=wide)  # type: ignore[call-overload]


def _l1(x: NDArray, **options: object) -> NDArray:
    return np.sum(np.abs(x), **options)  # type: ignore[call-overload]


def _log_sum(x: NDArray, **options: object) -> NDArray:
    return np.log(np.sum(x, **options))  # type: ignore[call-overload]


def _log_sum_exp(x: NDArray, axis: tuple[int, ...] | None, keepdims: bool) -> NDArray:
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True))
    return (top + total).reshape(np.sum(x, axis=axis, keepdims=keepdims).shape)


def _l2(x: NDArray, **options: object) -> NDArray:
    return np.sqrt(np.sum(x * x, **options))  # type: ignore[call-overload]


def _sum_square(x: NDArray, **options: object) -> NDArray:
    return np.sum(x * x, **options)  # type: ignore[call-overload]


def softmax(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    rows, axis = _rows_of(x, attrs)
    return (arithmetic.softmax(rows, axis).reshape(x.shape),)


def _rows_of(x: NDArray, attrs: Attrs) -> tuple[NDArray, int]:
    """Of opset 12 and older ("joined") all axes from `axis` on are one."""
    axis = attrs.get("axis", -1)
    if not attrs.get("joined"):
        return x, axis
    axis = wrapped(axis, x.ndim)
    return x.reshape(math.prod(x.shape[:axis]), -1), -1


def log_softmax(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    rows, axis = _rows_of(x, attrs)
    shifted = rows - rows.max(axis, keepdims=True)
    return ((shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))).reshape(x.shape),)


def cumsum(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), (ints(args, 1) or [0])[0]
    if attrs.get("reverse", 0):
        x = np.flip(x, axis)
    y = np.cumsum(x, axis, dtype=x.dtype)
    if attrs.get("exclusive", 0):
        y = y - x
    return (np.flip(y, axis) if attrs.get("reverse", 0) else y,)


def arg(f: Callable[..., NDArray]) -> NodeEvaluation:
    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        x, axis = need(args, 0), attrs.get("axis", 0)
        if attrs.get("select_last_index", 0):
            i = x.shape[axis] - 1 - f(np.flip(x, axis), axis)
        else:
            i = f(x, axis)
        return ((np.expand_dims(i, axis) if attrs.get("keepdims", 1) else i).astype(np.int64),)

    return run


def top_k(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Values and places, sorted; the first of equals first."""
    x, k, axis = need(args, 0), ints_of(args, 1, "k")[0], attrs.get("axis", -1)
    if attrs.get("largest", 1):
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    places = np.take(order, np.arange(k), axis)
    return (np.take_along_axis(x, places, axis), places.astype(np.int64))[:n_out]


def shape(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    dims = x.shape[slice(attrs.get("start", 0), attrs.get("end", x.ndim))]
    return (np.asarray(dims, np.int64),)


def size(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.asarray(need(args, 0).size, np.int64),)


def constant(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if key in attrs:
            return (np.asarray(attrs[key], dtype),)
    if not isinstance(attrs.get("value"), np.ndarray):
        raise ValueError("Constant holds no numeric value")
    return (attrs["value"],)


def constant_of_shape(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    value = np.asarray(attrs.get("value", np.zeros(1, np.float32))).reshape(-1)
    return (np.full(ints(args, 0) or (), value[0], value.dtype),)


def range_(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    start, limit, delta = (need(args, i).reshape(()) for i in range(3))
    count = max(int(np.ceil((limit - start) / delta)), 0)
    return ((start + np.arange(count).astype(start.dtype) * delta).astype(start.dtype),)


def non_zero(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.asarray(np.nonzero(need(args, 0)), np.int64),)


def root_mean_square(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    found = arithmetic.normalised(x, tuple(attrs["axes"]), attrs["epsilon"], attrs["centred"])
    return (found[2].astype(x.dtype),)


def _kept(op: Op, types: Types, data: Args) -> list[Shape]:
    return [tuple(1 if a in op.attrs["axes"] else d for a, d in enumerate(shape_of(types, 0)))]


def _dims_of(op: Op, types: Types, data: Args) -> list[Shape]:
    rank = len(shape_of(types, 0))
    return [(len(range(rank)[op.attrs.get("start", 0) : op.attrs.get("end", rank)]),)]


def _filled(op: Op, types: Types, data: Args) -> list[Shape]:
    return [tuple(ints_of(data, 0, "the shape"))]


def _filled_with(op: Op, types: Types, data: Args) -> str:
    return str(np.asarray(op.attrs.get("value", np.zeros(1, np.float32))).dtype)


def _range(op: Op, types: Types, data: Args) -> list[Shape]:
    if any(d is None or d.size != 1 for d in data[:3]) or len(data) < 3:
        raise ValueError("Range wants three constant numbers")
    start, limit, delta = (float(d.reshape(-1)[0]) for d in data[:3] if d is not None)
    return [(max(math.ceil((limit - start) / delta), 0),)]


def _over_axes(name: str, evaluate: NodeEvaluation, use: Use = "folded", notes: str = "") -> OnnxOp:
    return OnnxOp(name, use, by_zeros(evaluate), FIRST, evaluate, notes)


def _numbers(name: str, evaluate: NodeEvaluation, use: Use = "folded", notes: str = "") -> OnnxOp:
    return OnnxOp(name, use, by_zeros(evaluate), INDEX, evaluate, notes)


ROWS = (
    _over_axes("ReduceMean", reduction(_mean), "compiled", "over tokens or inside a LayerNorm"),
    _over_axes("ReduceSum", reduction(np.sum), "compiled", "over tokens"),
    _over_axes("ReduceMax", reduction(np.max, -1.0), "compiled", "as MaxPool"),
    _over_axes("ReduceMin", reduction(np.min, 1.0), "compiled", "as MaxPool"),
    _over_axes("ReduceProd", reduction(np.prod)),
    _over_axes("ReduceL1", reduction(_l1), "compiled", "as a sum"),
    _over_axes("ReduceLogSum", reduction(_log_sum), "compiled", "as a sum"),
    _over_axes("ReduceLogSumExp", reduction(_log_sum_exp), "compiled", "as a sum"),
    _over_axes("ReduceL2", reduction(_l2), "compiled", "over tokens or inside a normalisation"),
    _over_axes("ReduceSumSquare", reduction(_sum_square), "compiled",
               "over tokens or inside a normalisation"),
    OnnxOp("Softmax", "compiled", same_shape, FIRST, softmax, "over one axis"),
    OnnxOp("LogSoftmax", "compiled", same_shape, FIRST, log_softmax, "over one axis"),
    OnnxOp("CumSum", "folded", same_shape, FIRST, cumsum),
    _numbers("ArgMax", arg(np.argmax), "compiled", "at the end of the model; the first of equals"),
    _numbers("ArgMin", arg(np.argmin), "compiled", "likewise"), _numbers("NonZero", non_zero),
    OnnxOp("TopK", "folded", by_zeros(top_k), FIRST, top_k, later="int64"),
    OnnxOp("Shape", "folded", _dims_of, INDEX, shape),
    OnnxOp("Size", "folded", lambda op, types, data: [()], INDEX, size),
    _over_axes("Constant", constant),
    OnnxOp("ConstantOfShape", "folded", _filled, _filled_with, constant_of_shape),
    OnnxOp("Range", "folded", _range, FIRST, range_),
)  # fmt: skip
RMS = OnnxOp("RootMeanSquare", "compiled", _kept, FIRST, root_mean_square,
             "sqrt(mean(x^2) + eps), which passes/fuse_layernorm.py writes")  # fmt: skip
