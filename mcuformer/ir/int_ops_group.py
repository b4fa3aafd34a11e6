"""Integer definitions of statistics over rows, and of roots and reciprocals (docs/adr/0002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_linear import Args, checked, hi, saturate
from mcuformer.ir.int_ops_norm import bit_length, inverse_root, mean_reciprocal, row_multiplier
from mcuformer.ir.types import TensorType

WORDS = 4  # int16 per group in which q_groupstats hands on m and o


def _values(op: Op, args: Args) -> NDArray[np.int64]:
    """v = (x - z) * a as [..., T, groups, C / groups]."""
    x, a, z = args[:3]
    assert x is not None
    v = x.astype(np.int64)
    v = v if z is None else v - z
    v = v * (op.attrs.get("a", 1) if a is None else a)
    groups = op.attrs["groups"]
    v = checked(v, f"{op.name}: v", bits=16)
    return v.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _sums(op: Op, args: Args) -> tuple[NDArray, NDArray, int]:
    """(s1 >> halve, D, N) of every group [..., groups], of N numbers: D = N^2 times the variance,
    less 2*halve bits."""
    v, halve = _values(op, args), op.attrs["halve"]
    count = v.shape[-3] * v.shape[-1]
    s1, s2 = v.sum(axis=(-3, -1)), (v * v).sum(axis=(-3, -1))
    s1 = (s1 if op.attrs.get("centred", True) else np.zeros_like(s1)) >> halve
    d = np.maximum(count * (s2 >> 2 * halve) - s1 * s1, 0) + op.attrs["eps_q"]
    return s1, d, count


def q_groupstats(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] -> int16[1, 4*groups]: multiplier m and offset o of each group, low half first; (x, a, z)."""
    s1, d, count = _sums(op, args)
    m = row_multiplier(d, op.attrs["gain"], op.attrs["gain_exp"])
    inv, k = mean_reciprocal(count)
    o = -hi(m, (s1 * inv) >> (k - op.attrs["halve"]))
    words = np.stack([m, m >> 16, o, o >> 16], axis=-1).astype(np.uint16).view(np.int16)
    return words.reshape(*s1.shape[:-1], 1, -1)


def q_groupnorm(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] and q_groupstats's result -> y[T,C], as q_layernorm with g; (x, stats, a, z, g, b)."""
    x, stats, a, z, g, b = (None if arg is None else np.asarray(arg) for arg in args)
    assert x is not None and stats is not None and g is not None and b is not None
    v = _values(op, (x, a, z))
    words = stats.astype(np.int64).reshape(*stats.shape[:-1], op.attrs["groups"], WORDS)
    m, o = (words[..., i] & 0xFFFF | words[..., i + 1] << 16 for i in (0, 2))
    u = ((m[..., None] * v) >> 16) + o[..., None]
    u = checked(u, f"{op.name}: u").reshape(x.shape)
    t = checked(((u * g.astype(np.int64)) >> 16) + b, f"{op.name}: t")
    return saturate(t >> op.attrs["frac2"], out.dtype)


def _finished(
    op: Op, mantissa: NDArray, exponent: NDArray, out: TensorType, negative: NDArray | bool = False
) -> NDArray:
    """+-mantissa * gain * 2^(exponent - gain_exp), rounded, plus the zero point; t <= 2^31."""
    t, s = mantissa * op.attrs["gain"], np.maximum(op.attrs["gain_exp"] - exponent, 1)
    down = np.minimum(s, 31)
    y = np.where(s > 31, 0, (t + (1 << (down - 1))) >> down)
    return saturate(np.where(negative, -y, y) + op.attrs["zp"], out.dtype)


def q_rms(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[T,C] -> y[1,groups], the root of each group's mean square; (x, a, z)."""
    _, d, _ = _sums(op, args)
    return _finished(op, *root(d), out)[..., None, :]


def root(d: NDArray) -> tuple[NDArray, NDArray]:
    """(root, h) with sqrt(d) ~ root * 2^h, root in [2^15, 2^16); d >= 1."""
    e = (bit_length(d) - 31) & ~1
    top = np.where(e >= 0, d >> np.maximum(e, 0), d << np.maximum(-e, 0))
    return np.floor(np.sqrt(top.astype(np.float64))).astype(np.int64), e >> 1


def q_power(op: Op, args: Args, out: TensorType) -> NDArray:
    """x^(halves/2): 1/x (halves -2), 1/sqrt(x) (-1), sqrt(x) (1). 0, and what has no root, counts as
    one step, whose root is 0."""
    (x,) = args
    assert x is not None
    halves, q = op.attrs["halves"], x.astype(np.int64) - op.attrs["x_zp"]
    negative = (q < 0) & (halves == -2)
    d = np.maximum(np.abs(q) if halves == -2 else q, 1)
    if halves == -2:
        bits = bit_length(d)
        mantissa, exponent = (1 << 31) // (d << (16 - bits)), -bits
    elif halves == -1:
        mantissa, e = inverse_root(d)
        exponent = -(e >> 1)
    else:
        mantissa, exponent = root(d)
        mantissa = np.where(q > 0, mantissa, 0)
    return _finished(op, mantissa, exponent, out, negative)
