"""ONNX operators over axes (reductions, cumulative sums, softmax) and those that make shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.numpy_ops.base import Args, Attrs, Kernel, axes_of, ints, need


def reduction(f: Callable[..., NDArray], empty: float | None = None) -> Kernel:
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


def _l2(x: NDArray, **options: object) -> NDArray:
    return np.sqrt(np.sum(x * x, **options))  # type: ignore[call-overload]


def _sum_square(x: NDArray, **options: object) -> NDArray:
    return np.sum(x * x, **options)  # type: ignore[call-overload]


def softmax(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), attrs.get("axis", -1)
    e = np.exp(x - x.max(axis, keepdims=True))
    return (e / e.sum(axis, keepdims=True),)


def log_softmax(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), attrs.get("axis", -1)
    shifted = x - x.max(axis, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)),)


def cumsum(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), (ints(args, 1) or [0])[0]
    if attrs.get("reverse", 0):
        x = np.flip(x, axis)
    y = np.cumsum(x, axis, dtype=x.dtype)
    if attrs.get("exclusive", 0):
        y = y - x
    return (np.flip(y, axis) if attrs.get("reverse", 0) else y,)


def arg(f: Callable[..., NDArray]) -> Kernel:
    def run(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
        x, axis = need(args, 0), attrs.get("axis", 0)
        if attrs.get("select_last_index", 0):
            i = x.shape[axis] - 1 - f(np.flip(x, axis), axis)
        else:
            i = f(x, axis)
        return ((np.expand_dims(i, axis) if attrs.get("keepdims", 1) else i).astype(np.int64),)

    return run


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


KERNELS: dict[str, Kernel] = {
    "ReduceMean": reduction(_mean), "ReduceSum": reduction(np.sum),
    "ReduceProd": reduction(np.prod), "ReduceMax": reduction(np.max, -1.0),
    "ReduceMin": reduction(np.min, 1.0), "ReduceL1": reduction(_l1), "ReduceL2": reduction(_l2),
    "ReduceSumSquare": reduction(_sum_square), "Softmax": softmax, "LogSoftmax": log_softmax,
    "CumSum": cumsum, "ArgMax": arg(np.argmax), "ArgMin": arg(np.argmin), "Shape": shape,
    "Size": size, "Constant": constant, "ConstantOfShape": constant_of_shape, "Range": range_,
    "NonZero": non_zero,
}  # fmt: skip
