"""Integer definition of q_linear, q_conv2d, q_patch_embed and q_dwconv2d (docs/adr/0002).

Arrays carry any number of leading batch axes; the names below give the trailing ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Op
from mcuformer.ir.types import DTYPES, LIMITS, TensorType

Args = Sequence[NDArray | None]
INT32_MAX = 2**31 - 1
TABLE_INTERVALS = 12  # bits of the interval in an index of an int16 table; the rest is between


def hi(a: NDArray, b: NDArray | int) -> NDArray:
    """floor(a * b / 2^32) of int32 factors: SMMUL, and SMMLA with a zero addend."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64)) >> 32


def saturate(value: NDArray, dtype: str) -> NDArray:
    return np.clip(value, *LIMITS[dtype]).astype(DTYPES[dtype])


def checked(value: NDArray, what: str, bits: int = 32) -> NDArray:
    """`value` if it fits int32: the bound was proved at lowering, so anything else is a bug."""
    if value.size and max(int(value.max()), -int(value.min()) - 1) >= 1 << (bits - 1):
        raise McuformerError(f"{what} leaves int{bits}: the compile-time bound is wrong")
    return value


def between(table: NDArray, index: NDArray, fraction: int) -> NDArray:
    """An int16 table of one entry more than intervals, at indices with `fraction` bits of interval."""
    at, f = index >> fraction, index & ((1 << fraction) - 1)
    low, high = (table[i].astype(np.int64) for i in (at, at + 1))
    return (low + (((high - low) * f + (1 << fraction >> 1)) >> fraction)).astype(np.int16)


def exact_matmul(x: NDArray, w: NDArray) -> NDArray:
    """Integer x[..., M, K] @ w[..., K, N] through BLAS, as int64.

    Floating point only as fast exact integers: every partial sum stays below 2^24 (2^53).
    """
    if x.shape[-1] == 0 or x.size == 0:
        return (x @ w).astype(np.int64)
    bound = x.shape[-1] * float(_reach(x)) * float(_reach(w))
    dtype = np.float32 if bound < 2**24 else np.float64
    return np.matmul(x.astype(dtype), w.astype(dtype)).astype(np.int64)


def _reach(x: NDArray) -> int:
    """Largest magnitude."""
    return max(int(x.max()), -int(x.min()))


def epilogue(acc: NDArray, op: Op, args: Args, out: TensorType) -> NDArray:
    """From accumulators [chunks, ..., N] (one chunk without `k_split`) to y[..., N].

    args: (x, w, bias, mult, offset, res, rmult, table) of the operation.
    """
    mult, offset, res, rmult, table = args[3:8]
    assert mult is not None and offset is not None
    attrs = op.attrs
    scaled = acc << attrs.get("acc_shift", 0)
    unit = 16 if attrs.get("weight_bits", 8) == 4 else 1  # the kernels' int4 weights count 16 times
    checked(scaled * unit, f"{op.name}: accumulator")
    t = hi(scaled, mult).sum(axis=0) + offset
    if res is not None and rmult is not None:
        t = t + res.astype(np.int64) * rmult
    index = checked(t, f"{op.name}: t") >> attrs["shift"]
    if table is not None:
        index = np.clip(index, 0, (1 << attrs["table_bits"]) - 1)
        if out.dtype == "int8":
            return table[index]
        return between(table, index, attrs["table_bits"] - TABLE_INTERVALS)
    low, high = LIMITS[out.dtype]
    index = np.maximum(index, attrs.get("clamp_min", low))
    return np.minimum(index, attrs.get("clamp_max", high)).astype(DTYPES[out.dtype])


def split_bounds(attrs: Mapping[str, Any], k: int) -> list[tuple[int, int]]:
    """Chunks of K; `k_split` holds the interior boundaries."""
    edges = [0, *attrs.get("k_split", ()), k]
    return list(itertools.pairwise(edges))


def accumulate(x: NDArray, w: NDArray, bias: NDArray, attrs: Mapping[str, Any]) -> NDArray:
    """acc[chunk, ..., N] of x[..., K] and w[N, K / groups]; the bias joins the first chunk.

    Output group g of N / groups channels sees group g of K / groups inputs.
    """
    centred = x.astype(np.int32) - np.int32(attrs["x_zp"])
    flat = centred.reshape(-1, centred.shape[-1])
    groups = attrs.get("groups", 1)
    parts = [(flat, w)]
    if groups > 1:
        parts = list(zip(np.split(flat, groups, axis=1), np.split(w, groups), strict=True))
    chunks = [
        np.concatenate([exact_matmul(xg[:, a:b], wg[:, a:b].T) for xg, wg in parts], axis=1)
        for a, b in split_bounds(attrs, w.shape[1])
    ]
    chunks[0] = chunks[0] + bias.astype(np.int64)
    return np.asarray(chunks).reshape(len(chunks), *x.shape[:-1], w.shape[0])


def q_linear(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,K] -> y[T,N]."""
    x, w, bias = args[:3]
    assert x is not None and w is not None and bias is not None
    return epilogue(accumulate(x, w, bias, op.attrs), op, args, out)


def im2col(x: NDArray, attrs: Mapping[str, Any]) -> NDArray:
    """x[H,W,C] -> patches[Ho*Wo, kh*kw, C]; out-of-image taps hold `pad_value` (default x_zp)."""
    (kh, kw), (sy, sx) = attrs["kernel"], attrs["strides"]
    top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
    lead, (h, w, c) = x.shape[:-3], x.shape[-3:]
    fill = np.asarray(attrs.get("pad_value", (attrs["x_zp"],) * c), x.dtype)
    image = np.broadcast_to(fill, (*lead, h + top + bottom, w + left + right, c)).copy()
    image[..., top : top + h, left : left + w, :] = x
    view = np.lib.stride_tricks.sliding_window_view(image, (kh, kw), axis=(-3, -2))
    view = view[..., ::sy, ::sx, :, :, :]
    patches = np.moveaxis(view, -3, -1)
    return patches.reshape(*lead, -1, kh * kw, c)


def q_conv2d(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[H,W,C], w[N, kh*kw*C/groups] -> y[Ho,Wo,N] (q_patch_embed: [Ho*Wo,N]): q_linear of the patches."""
    x, w, bias = args[:3]
    assert x is not None and w is not None and bias is not None
    rows = im2col(x, op.attrs)
    apart = rows.reshape(*rows.shape[:-1], op.attrs.get("groups", 1), -1).swapaxes(-3, -2)
    acc = accumulate(apart.reshape(*rows.shape[:-2], -1), w, bias, op.attrs)
    return _as_image(acc, op, args, out)


def q_dwconv2d(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[H,W,C], w[C, kh*kw] -> y[Ho,Wo,C]: output channel c sees input channel c only."""
    x, w, bias = args[:3]
    assert x is not None and w is not None and bias is not None
    centred = im2col(x, op.attrs).astype(np.int64) - op.attrs["x_zp"]
    acc = (centred * w.T.astype(np.int64)).sum(axis=-2) + bias
    return _as_image(acc[None], op, args, out)


def _as_image(acc: NDArray, op: Op, args: Args, out: TensorType) -> NDArray:
    """Epilogue on [Ho*Wo,N] rows; a residual of image shape is flattened alike."""
    res = args[5]
    if res is not None:
        lead = res.shape[: res.ndim - len(out.shape)]
        args = [*args[:5], res.reshape(*lead, *acc.shape[-2:]), *args[6:]]
    y = epilogue(acc, op, args, out)
    return y.reshape(*acc.shape[1:-2], *out.shape)
