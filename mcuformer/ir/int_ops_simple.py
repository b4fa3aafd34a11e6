"""Integer definition of elementwise operators, mean, max-pooling and moves (docs/adr/0002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_linear import (
    TABLE_INTERVALS,
    Args,
    between,
    checked,
    hi,
    im2col,
    saturate,
)
from mcuformer.ir.types import TensorType


def q_add(op: Op, args: Args, out: TensorType) -> NDArray:
    """sat((a*ma[c] + b*mb[c] + offset[c]) >> shift); inputs (a, b, ma, mb, offset)."""
    a, b, ma, mb, offset = (np.asarray(arg, np.int64) for arg in args)
    t = checked(a * ma + b * mb + offset, f"{op.name}: t")
    return saturate(t >> op.attrs["shift"], out.dtype)


def q_max(op: Op, args: Args, out: TensorType) -> NDArray:
    """The larger of sat((a*ma[c] + oa[c]) >> shift) and the same of b; inputs (a, b, ma, mb, oa, ob),
    or a and b alone, which are on the grid of y."""
    a, b, *rest = (np.asarray(arg, np.int64) for arg in args)
    if not rest:
        return np.maximum(a, b).astype(out.dtype)
    ma, mb, oa, ob = rest
    terms = [checked(x * m + o, f"{op.name}: t") for x, m, o in ((a, ma, oa), (b, mb, ob))]
    return saturate(np.maximum(*terms) >> op.attrs["shift"], out.dtype)


def q_requant(op: Op, args: Args, out: TensorType) -> NDArray:
    """sat((a*ma[c] + offset[c]) >> shift); inputs (a, ma, offset)."""
    a, ma, offset = (np.asarray(arg, np.int64) for arg in args)
    return saturate(checked(a * ma + offset, f"{op.name}: t") >> op.attrs["shift"], out.dtype)


def q_mul(op: Op, args: Args, out: TensorType) -> NDArray:
    """sat((hi((acc << acc_shift) * mult[c]) + offset[c]) >> shift), acc = (a - a_zp)(b - b_zp)."""
    a, b, mult, offset = (np.asarray(arg, np.int64) for arg in args)
    acc = (a - op.attrs["a_zp"]) * (b - op.attrs["b_zp"])
    scaled = checked(acc << op.attrs["acc_shift"], f"{op.name}: accumulator")
    t = checked(hi(scaled, mult) + offset, f"{op.name}: t")
    return saturate(t >> op.attrs["shift"], out.dtype)


def q_unary(op: Op, args: Args, out: TensorType) -> NDArray:
    """int8 x: table[x + 128]. int16 x: between two entries, which of int8 y count steps of y / 256."""
    x, table = args
    assert x is not None and table is not None
    if x.dtype == np.int8:
        return table[x.astype(np.int64) + 128]
    y = between(table, x.astype(np.int64) + 32768, 16 - TABLE_INTERVALS)
    return y if out.dtype == "int16" else saturate((y.astype(np.int64) + 128) >> 8, "int8")


def q_mean(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] -> y[1,C]: acc[c] = bias[c] + sum_T x, then as q_mul; (x, bias, mult, offset)."""
    x, bias, mult, offset = (np.asarray(arg, np.int64) for arg in args)
    acc = x.sum(axis=-2, keepdims=True) + bias
    scaled = checked(acc << op.attrs["acc_shift"], f"{op.name}: accumulator")
    t = checked(hi(scaled, mult) + offset, f"{op.name}: t")
    return saturate(t >> op.attrs["shift"], out.dtype)


def q_argmax(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] -> y[T,1] int16: the lowest channel that holds the row's largest number."""
    (x,) = args
    assert x is not None
    return x.argmax(axis=-1, keepdims=True).astype(np.int16)


def q_maxpool(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[H,W,C]: maximum of each window; out-of-image taps hold the type's minimum."""
    x = args[0]
    assert x is not None
    lowest = int(np.iinfo(x.dtype).min)
    windows = im2col(x, {**op.attrs, "x_zp": lowest})
    return windows.max(axis=-2).reshape(*x.shape[:-3], *out.shape)


def concat(op: Op, args: Args, out: TensorType) -> NDArray:
    """Rows (axis 0) or channels (axis 1) of each input in order; constants are repeated over the batch."""
    parts = [np.asarray(arg) for arg in args]
    lead = max((p.shape[:-2] for p in parts), key=len)
    spread = [np.broadcast_to(p, lead + p.shape[-2:]) for p in parts]
    return np.concatenate(spread, axis=op.attrs["axis"] - 2)


def slice_(op: Op, args: Args, out: TensorType) -> NDArray:
    """Rows (axis 0) or channels (axis 1) start..stop of x[T,C]."""
    x = np.asarray(args[0])
    window = slice(op.attrs["start"], op.attrs["stop"])
    return x[..., window, :] if op.attrs["axis"] == 0 else x[..., window]


def gather(op: Op, args: Args, out: TensorType) -> NDArray:
    """Rows by static index."""
    return np.take(np.asarray(args[0]), np.asarray(op.attrs["indices"]), axis=-2)


def reshape(op: Op, args: Args, out: TensorType, in_rank: int = 2) -> NDArray:
    """Row-major, moves nothing; the batch axes in front stay."""
    x = np.asarray(args[0])
    return x.reshape(*x.shape[: x.ndim - in_rank], *out.shape)
