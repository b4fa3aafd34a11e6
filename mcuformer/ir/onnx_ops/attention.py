"""ONNX's Attention and RotaryEmbedding (opset 23 on), and Einsum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops.arithmetic import softmax
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    FIRST,
    Args,
    Attrs,
    OnnxOp,
    Shape,
    Types,
    need,
    optional,
    same_shape,
    shape_of,
    stable,
)


def equation(text: str, ranks: list[int]) -> tuple[list[str], str]:
    """The axes of every operand and of the result, one letter each. An ellipsis stands for axes that
    are counted from the last one: they are named 0, 1, ..."""
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"{len(ranks)} operands of equation {text!r}")
    named = [_spread(term, rank) for term, rank in zip(terms, ranks, strict=True)]
    dots = "".join(sorted({x for term in named for x in term if x.isdigit()}, reverse=True))
    if arrow:
        return named, right.replace("...", dots)
    letters = "".join(named)
    once = sorted(x for x in set(letters) if letters.count(x) == 1 and not x.isdigit())
    return named, dots + "".join(once)


def _spread(term: str, rank: int) -> str:
    hidden = rank - len(term.replace("...", ""))
    if hidden < 0 or (hidden and "..." not in term) or hidden > 10:
        raise ValueError(f"an operand of {rank} axes is called {term!r}")
    return term.replace("...", "".join(str(i) for i in reversed(range(hidden))))


def einsum(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    arrays = [need(args, i) for i in range(len(args))]
    return (np.asarray(np.einsum(attrs["equation"].replace(" ", ""), *arrays)),)


def _einsum(op: Op, types: Types, data: Args) -> list[Shape]:
    shapes = [shape_of(types, i) for i in range(len(types))]
    named, out = equation(op.attrs["equation"], [len(s) for s in shapes])
    sizes: dict[str, int] = {}
    for term, shape in zip(named, shapes, strict=True):
        for name, size in zip(term, shape, strict=True):
            known = sizes.setdefault(name, size)
            if size != known and 1 not in (size, known):
                raise ValueError(f"axis {name} has sizes {known} and {size}")
            sizes[name] = max(size, known)
    return [tuple(sizes[name] for name in out)]


def split_heads(x: NDArray, heads: int | None) -> NDArray:
    """[B, T, heads * d] as [B, heads, T, d]; of four axes as it is."""
    if x.ndim == 4:
        return x
    if x.ndim != 3 or not heads or x.shape[2] % heads:
        raise ValueError(f"{heads} heads of a tensor {list(x.shape)}")
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def repeated_heads(x: NDArray, heads: int) -> NDArray:
    """Every head of x[B, h, T, d] as often as `heads` queries want it."""
    if heads % x.shape[1]:
        raise ValueError(f"{x.shape[1]} heads of keys for {heads} of queries")
    return np.repeat(x, heads // x.shape[1], axis=1)


def position_bias(
    attrs: Attrs, rows: int, keys: int, offset: NDArray | int = 0
) -> NDArray[np.float32]:
    """[rows, keys], of several offsets [B, 1, rows, keys]: -inf where a causal or a window's mask hides a
    key; query i stands at key i + offset."""
    place = np.arange(rows)[:, None] + np.asarray(offset).reshape(-1, 1, 1, 1)
    apart = np.arange(keys) - (place if np.ndim(offset) else place[0, 0])
    hidden = np.zeros(apart.shape, np.bool_)
    if attrs.get("is_causal", 0):
        hidden |= apart > 0
    before, after = attrs.get("left_window_size", -1), attrs.get("right_window_size", -1)
    if before is not None and before >= 0:
        hidden |= apart < -before
    if after is not None and after >= 0:
        hidden |= apart > after
    return np.where(hidden, -np.inf, 0.0).astype(np.float32)


def mask_bias(mask: NDArray, keys: int) -> NDArray[np.float32]:
    """What a mask adds to scores; keys beyond its end are hidden."""
    bias = np.where(mask, 0.0, -np.inf) if mask.dtype == np.bool_ else mask
    grow = keys - bias.shape[-1] if bias.shape[-1] > 1 else 0
    pads = [(0, 0)] * (bias.ndim - 1) + [(0, max(grow, 0))]
    return np.pad(bias, pads, constant_values=-np.inf).astype(np.float32)


def padding_bias(lengths: NDArray, keys: int) -> NDArray[np.float32]:
    """[B, 1, 1, keys]: -inf behind the keys that there are."""
    there = np.arange(keys) < lengths.reshape(-1, 1, 1, 1)
    return np.where(there, 0.0, -np.inf).astype(np.float32)


def attention(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    flat = need(args, 0).ndim == 3
    q = split_heads(need(args, 0), attrs.get("q_num_heads"))
    k, v = (split_heads(need(args, i), attrs.get("kv_num_heads")) for i in (1, 2))
    past = optional(args, 4), optional(args, 5)
    before = 0 if past[0] is None else past[0].shape[2]
    k, v = (
        x if p is None else np.concatenate([p, x], axis=2)
        for p, x in zip(past, (k, v), strict=True)
    )
    scale = attrs.get("scale") or k.shape[-1] ** -0.5
    k_all, v_all = repeated_heads(k, q.shape[1]), repeated_heads(v, q.shape[1])
    scores = q @ np.swapaxes(k_all, -1, -2) * q.dtype.type(scale)
    cap = attrs.get("softcap") or 0.0
    capped = np.tanh(scores / cap) * q.dtype.type(cap) if cap > 0 else scores
    bias = constant_bias(
        attrs, q.shape[2], k.shape[2], optional(args, 3), optional(args, 6), before
    )
    p = stable(_weights)(capped, bias)
    y = p @ v_all
    y = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1) if flat else y
    shown = (scores, capped, capped + bias, p)[attrs.get("qk_matmul_output_mode", 0)]
    return (y.astype(q.dtype), k, v, shown.astype(q.dtype))[:n_out]


def constant_bias(
    attrs: Attrs,
    rows: int,
    keys: int,
    mask: NDArray | None,
    lengths: NDArray | None,
    before: int = 0,
) -> NDArray[np.float32]:
    """All that masks add to scores; `before`: keys of a cache."""
    bias: NDArray = position_bias(attrs, rows, keys, before if lengths is None else lengths - rows)
    if mask is not None:
        bias = bias + mask_bias(mask, keys)
    if lengths is not None:
        bias = bias + padding_bias(lengths, keys)
    return bias


def _weights(scores: NDArray, bias: NDArray) -> NDArray:
    """A row that sees no key weighs nothing."""
    hidden = np.isneginf(bias.max(axis=-1, keepdims=True))
    return np.where(hidden, np.float32(0), softmax(scores + np.where(hidden, 0, bias)))


def _attention(op: Op, types: Types, data: Args) -> list[Shape]:
    q, k, v = (shape_of(types, i) for i in range(3))
    heads, kv_heads = op.attrs.get("q_num_heads"), op.attrs.get("kv_num_heads")
    parts = [(q, heads), (k, kv_heads), (v, kv_heads)]
    apart = [split_heads(np.broadcast_to(np.int8(0), s), h).shape for s, h in parts]
    (b, h, t, _), (_, few, keys, d), (*_, dv) = apart
    past = types[4] if len(types) > 4 else None
    keys += 0 if past is None else past.shape[2]
    y: Shape = (b, t, h * dv) if len(q) == 3 else (b, h, t, dv)
    return [y, (b, few, keys, d), (b, few, keys, dv), (b, h, t, keys)][: len(op.outputs)]


def rotations(
    attrs: Attrs, cos: NDArray, sin: NDArray, at: NDArray | None, d: int
) -> tuple[NDArray, NDArray, NDArray[np.int64]]:
    """(c, s, other) with y[..., j] = x[..., j] * c[..., j] + x[..., other[j]] * s[..., j]; c, s: [B, T, d]."""
    if at is not None:
        cos, sin = cos[at], sin[at]
    turned = attrs.get("rotary_embedding_dim", 0) or d
    half = turned // 2
    if cos.ndim != 3 or cos.shape[-1] != half or turned % 2 or turned > d:
        raise ValueError(f"rotations {list(cos.shape)} of {turned} channels")
    pairs = np.arange(turned).reshape(half, 2)
    pairs = pairs if attrs.get("interleaved", 0) else pairs.reshape(-1).reshape(2, half).T
    c, s = np.ones((*cos.shape[:2], d), cos.dtype), np.zeros((*cos.shape[:2], d), cos.dtype)
    other = np.arange(d)
    for side, sign in ((0, -1), (1, 1)):
        c[..., pairs[:, side]] = cos
        s[..., pairs[:, side]] = sign * sin
        other[pairs[:, side]] = pairs[:, 1 - side]
    return c, s, other


def rotary(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, cos, sin = (need(args, i) for i in range(3))
    apart = split_heads(x, attrs.get("num_heads"))
    c, s, other = rotations(attrs, cos, sin, optional(args, 3), apart.shape[-1])
    y = apart * c[:, None] + apart[..., other] * s[:, None]
    return (y if x.ndim == 4 else y.transpose(0, 2, 1, 3).reshape(x.shape),)


ROWS = (
    OnnxOp("Einsum", "compiled", _einsum, FIRST, einsum,
           "as MatMul, Mul and sums of axes, operand by operand"),
    OnnxOp("Attention", "compiled", _attention, FIRST, attention,
           "without a cache; 3-D and 4-D, grouped queries, masks, causal, softcap"),
    OnnxOp("RotaryEmbedding", "compiled", same_shape, FIRST, rotary, "constant caches and positions"),
)  # fmt: skip
