"""Integer definition of q_layernorm (docs/adr/0002): sums in 64 bits, one multiplier per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_linear import INT32_MAX, Args, checked, hi, saturate
from mcuformer.ir.types import TensorType


def bit_length(x: NDArray) -> NDArray:
    """Number of significant bits of positive int64 values (64 - clz)."""
    bits = np.frexp(x.astype(np.float64))[1].astype(np.int64)
    return bits - ((x >> (bits - 1)) == 0)  # the conversion may have rounded up to a power of two


def inverse_root(d: NDArray) -> tuple[NDArray, NDArray]:
    """(r, e) with 1/sqrt(d) ~ r * 2^-31 * 2^-(e/2), e even, r in (2^15, 2^16]; d >= 1."""
    e = (bit_length(d) - 31) & ~1
    top = np.where(e >= 0, d >> np.maximum(e, 0), d << np.maximum(-e, 0))  # in [2^30, 2^32)
    root = np.floor(np.sqrt(top.astype(np.float64))).astype(np.int64)  # exact isqrt below 2^52
    return (1 << 31) // root, e


def row_multiplier(d: NDArray, gain: int, gain_exp: int) -> NDArray:
    """M = gain * r * 2^-(gain_exp + e/2), rounded down, saturated to int32."""
    r, e = inverse_root(d)
    shift = gain_exp + (e >> 1)
    down = (gain * r) >> np.clip(shift, 0, 62)
    up = np.minimum((gain * r) << np.clip(-shift, 0, 31), INT32_MAX)
    return np.where(shift >= 0, down, up)


def mean_reciprocal(size: int) -> tuple[int, int]:
    """(inv, k) with sum * inv >> k the mean of `size` integers in Q16; inv in [2^30, 2^31)."""
    k = 14 + (size - 1).bit_length()
    return (1 << (16 + k)) // size, k


def q_layernorm(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] -> y[T,C], each of `groups` groups of channels by itself; inputs (x, a, z, g, b)."""
    x, a, z, g, b = args
    assert x is not None
    attrs = op.attrs
    size = x.shape[-1] // attrs["groups"]
    v = x.astype(np.int64)
    v = v if z is None else v - z
    v = (v * (attrs.get("a", 1) if a is None else a)).reshape(*x.shape[:-1], attrs["groups"], size)
    v = checked(v, f"{op.name}: v", bits=16)
    s1, s2 = v.sum(axis=-1, keepdims=True), (v * v).sum(axis=-1, keepdims=True)
    if not attrs.get("centred", True):
        s1 = np.zeros_like(s1)
    m = row_multiplier(size * s2 - s1 * s1 + attrs["eps_q"], attrs["gain"], attrs["gain_exp"])
    frac = attrs["frac"]
    base = (attrs["zp"] << frac) + (1 << (frac - 1)) if g is None else 0
    inv, k = mean_reciprocal(size)
    o = base - hi(m, (s1 * inv) >> k)
    u = checked(((m * v) >> 16) + o, f"{op.name}: u").reshape(x.shape)
    if g is None or b is None:
        return saturate(u >> frac, out.dtype)
    t = checked(((u * g.astype(np.int64)) >> 16) + b, f"{op.name}: t")
    return saturate(t >> attrs["frac2"], out.dtype)
