"""Integer definition of q_attention and q_softmax (docs/adr/0002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_linear import INT32_MAX, Args, checked, exact_matmul, hi, saturate
from mcuformer.ir.int_ops_norm import bit_length
from mcuformer.ir.neighbours import seen_by_heads
from mcuformer.ir.types import TensorType

EXP_ENTRIES = 2048
EXP_PARTS = 16  # of a step, for q_softmax of int16
EXP_RANGE = 11.0  # exp(-11) * 32767 is about half a unit


def exp_table() -> NDArray[np.uint16]:
    """EXP[i] = round(32767 exp(-(i + 1/2) 11/2048)); the last entry (all scores below) is 0."""
    i = np.arange(EXP_ENTRIES)
    table = np.floor(32767 * np.exp(-(i + 0.5) * EXP_RANGE / EXP_ENTRIES) + 0.5)
    table[-1] = 0
    return table.astype(np.uint16)


EXP = exp_table()


def score_steps(
    acc: NDArray, m: NDArray | int, pre_shift: int, bias: NDArray | None
) -> NDArray[np.int64]:
    """int32 sums q k -> int16 scores in steps of EXP_RANGE / EXP_ENTRIES, like bias."""
    steps = saturate(wide_steps(acc, m, pre_shift), "int16").astype(np.int64)
    return steps if bias is None else saturate(steps + bias, "int16").astype(np.int64)


def wide_steps(acc: NDArray, m: NDArray | int, pre_shift: int) -> NDArray[np.int64]:
    """The scores without bias before they saturate."""
    return hi(checked(acc << pre_shift, "scores"), m)


def probabilities(steps: NDArray, p_shift: int, seen: NDArray | None = None) -> NDArray:
    """p[..., T] of int16 scores[..., T]: exp(score - max) in at most 15 bits; where not `seen`, 0."""
    if seen is not None:
        top = np.where(seen, steps, -(1 << 40)).max(axis=-1, keepdims=True)
        index = np.clip(top - steps, 0, EXP_ENTRIES - 1)
        return np.where(seen, EXP[index].astype(np.int64) >> p_shift, 0)
    index = np.minimum(steps.max(axis=-1, keepdims=True) - steps, EXP_ENTRIES - 1)
    return EXP[index].astype(np.int64) >> p_shift


def row_exponentials(x: NDArray, m: int, pre_shift: int) -> NDArray:
    """p[..., C] of exp(x - max); one unit of int8 x is m * 2^(pre_shift-32) table steps, of int16 x as
    many sixteenths, between two entries of the table."""
    wide = x.astype(np.int64)
    delta = np.minimum((wide.max(axis=-1, keepdims=True) - wide) << pre_shift, INT32_MAX)
    at = hi(delta, m)
    if x.dtype == np.int8:
        return EXP[np.minimum(at, EXP_ENTRIES - 1)].astype(np.int64)
    at = np.minimum(at, EXP_PARTS * (EXP_ENTRIES - 1) - 1)
    index, part = at // EXP_PARTS, at % EXP_PARTS
    p, after = (EXP[i].astype(np.int64) for i in (index, index + 1))
    return p - ((p - after) * part + EXP_PARTS // 2) // EXP_PARTS


def reciprocal(total: NDArray) -> tuple[NDArray, NDArray]:
    """(r, n) with 1/total ~ r * 2^(n-48), n = clz32(total), r in [2^16, 2^17); total >= 1."""
    n = 32 - bit_length(total)
    return (2**32 - 1) // ((total << n) >> 16), n


def normalise(o: NDArray, total: NDArray, mant: NDArray | int, exp: NDArray | int) -> NDArray:
    """o / total * mant * 2^(15 - exp), rounded half up (to the precision of the reciprocal)."""
    r, n = reciprocal(total)
    shift = exp - n
    return (hi(o, (r * mant) >> 1) + (1 << (shift - 1))) >> shift


def heads_first(x: NDArray, heads: int) -> NDArray:
    """[T, h*d] -> [h, T, d]."""
    return np.moveaxis(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def heads_last(x: NDArray) -> NDArray:
    """[h, T, d] -> [T, h*d]."""
    y = np.moveaxis(x, -3, -2)
    return y.reshape(*y.shape[:-2], -1)


def per_head(values: tuple[int, ...]) -> NDArray:
    """One integer per head, shaped for [h, T, d]."""
    return np.asarray(values, np.int64)[:, None, None]


def sums(op: Op, args: Args) -> tuple[NDArray, NDArray, NDArray | None]:
    """q k [..., n, h, Tq/n, Tk/n] of a q_attention, its v by heads, and its bias in that shape."""
    q, k, v, bias = args
    assert q is not None and k is not None and v is not None
    attrs = op.attrs
    windows, heads = attrs.get("windows", 1), attrs["heads"]
    k, v = k.astype(np.int64) - attrs.get("k_zp", 0), v.astype(np.int64) - attrs.get("v_zp", 0)
    q, k, v = (x.reshape(*x.shape[:-2], windows, -1, x.shape[-1]) for x in (q, k, v))
    qh = heads_first(q, heads)
    kh, vh = (heads_first(x, attrs.get("kv_heads", heads)) for x in (k, v))
    if bias is not None and bias.shape[0] > heads:
        bias = bias.reshape(windows, heads, *bias.shape[1:])
    return exact_matmul(qh, np.swapaxes(kh, -1, -2)), vh, bias


def attention_weights(op: Op, args: Args) -> tuple[NDArray, NDArray]:
    """What v is weighed with, [..., n, h, Tq/n, Tk/n] before it is divided by its sum; v by heads."""
    attrs = op.attrs
    acc, vh, bias = sums(op, args)
    steps = score_steps(acc, per_head(attrs["m"]), attrs["pre_shift"], bias)
    seen = seen_by_heads(attrs, steps.shape[-1])
    return probabilities(steps, attrs["p_shift"], seen), vh


def q_attention(op: Op, args: Args, out: TensorType) -> NDArray:
    """q[Tq,h*d], k[Tk,h*d], v[Tk,h*dv], bias int16[1|h|n*h,Tq/n,Tk/n]? -> y[Tq,h*dv].

    With attr kv_heads = 1, k[Tk,d] and v[Tk,dv] serve all heads (absorbed weights). With attr
    windows = n the rows are n groups of equal length and attention stays inside a group; with radii
    and grid heads see near patches alone (ir/neighbours.py).
    """
    attrs = op.attrs
    p, vh = attention_weights(op, args)
    o = checked(exact_matmul(p, vh), f"{op.name}: P V")
    total = p.sum(axis=-1, keepdims=True)
    y = normalise(o, total, per_head(attrs["o_mant"]), per_head(attrs["o_exp"]))
    y = heads_last(y)  # [..., windows, Tq / windows, h*dv]
    return saturate(y.reshape(*y.shape[:-3], -1, y.shape[-1]), out.dtype)


def q_softmax(op: Op, args: Args, out: TensorType) -> NDArray:
    """Softmax over the last axis of x[T,C]; p enters the normalisation as p << 16."""
    x = args[0]
    assert x is not None
    attrs = op.attrs
    p = row_exponentials(x, attrs["m"], attrs["pre_shift"])
    y = normalise(p << 16, p.sum(axis=-1, keepdims=True), attrs["o_mant"], attrs["o_exp"])
    return saturate(y + attrs["zp"], out.dtype)
