"""Evaluation of the canonical operators over a batch, in float32.

Activations carry one batch axis in front; constants have none and are repeated. This is the hot
path of calibration, so it stays on BLAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir import product as products
from mcuformer.ir.float_ops.arithmetic import attended, convolved, normalised, windows
from mcuformer.ir.float_ops.arithmetic import softmax as softmax_of
from mcuformer.ir.functions import function
from mcuformer.ir.neighbours import seen_by_heads

Attrs = Mapping[str, Any]
Args = Sequence[NDArray | None]
FloatEvaluation = Callable[[Attrs, Args], NDArray]


def need(args: Args, i: int) -> NDArray:
    value = args[i]
    assert value is not None
    return value


def optional(args: Args, i: int) -> NDArray | None:
    return args[i] if i < len(args) else None


def present(args: Args) -> list[NDArray]:
    return [a for a in args if a is not None]


def product(attrs: Attrs, x: NDArray, w: NDArray) -> NDArray:
    """linear, conv2d, patch_embed without bias and epilogue: what w says."""
    if w.ndim == 2:
        return np.asarray(x @ w)
    return convolved(x, w, attrs["strides"], attrs["pads"], attrs.get("group", 1))


def weighted_sum(attrs: Attrs, args: Args) -> NDArray:
    """linear and conv2d up to their bias."""
    y, b = product(attrs, need(args, 0), need(args, 1)), optional(args, 2)
    return y if b is None else y + b


def weighted(attrs: Attrs, args: Args) -> NDArray:
    """With the residual and the function that preparing puts in (quant/rewrites/fuse_epilogue.py)."""
    return finished(attrs, weighted_sum(attrs, args), optional(args, 3))


def patch_embed(attrs: Attrs, args: Args) -> NDArray:
    y = weighted_sum(attrs, args)
    return finished(attrs, y.reshape(len(y), -1, y.shape[-1]), optional(args, 3))


def finished(attrs: Attrs, y: NDArray, res: NDArray | None) -> NDArray:
    """A weighted sum with its residual and function."""
    y = y if res is None else y + res
    fn = attrs.get("fn")
    return y if fn is None else function(fn)(y)


def layernorm(attrs: Attrs, args: Args) -> NDArray:
    x, gamma, beta = need(args, 0), optional(args, 1), optional(args, 2)
    parts = x.reshape(*x.shape[:-1], attrs["groups"], -1)
    y: NDArray = normalised(parts, -1, attrs["eps"], attrs.get("centred", True))[0]
    y = y.reshape(x.shape).astype(np.float32)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def groupnorm(attrs: Attrs, args: Args) -> NDArray:
    x, gamma, beta = need(args, 0), optional(args, 1), optional(args, 2)
    centred = attrs.get("centred", True)
    y = normalised(_grouped(attrs, x), (-3, -1), attrs["eps"], centred)[0].reshape(x.shape)
    y = y.astype(np.float32)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def rms(attrs: Attrs, args: Args) -> NDArray:
    parts, centred = _grouped(attrs, need(args, 0)), attrs.get("centred", True)
    deviation = normalised(parts, (-3, -1), attrs["eps"], centred)[2]
    return deviation[..., 0].astype(np.float32)


def _grouped(attrs: Attrs, x: NDArray) -> NDArray:
    """[..., T, groups, C / groups]."""
    return x.reshape(*x.shape[:-1], attrs["groups"], -1)


def power(attrs: Attrs, args: Args) -> NDArray:
    """What has no root counts as 0, and 1/0 as the largest of its kind, which some grid then cuts."""
    x, exponent = need(args, 0), attrs["exponent"]
    x = x if exponent == -1 else np.maximum(x, 0)
    least = np.float32(1e-12) if exponent < 0 else np.float32(0)
    return np.where(np.abs(x) < least, least, x) ** np.float32(exponent)


def unary(attrs: Attrs, args: Args) -> NDArray:
    return function(attrs["fn"])(need(args, 0))


def add(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0) + need(args, 1)


def mul(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0) * need(args, 1)


def larger(attrs: Attrs, args: Args) -> NDArray:
    return np.maximum(need(args, 0), need(args, 1))


def attention(attrs: Attrs, args: Args) -> NDArray:
    q, k, v, bias = need(args, 0), need(args, 1), need(args, 2), optional(args, 3)
    windows, seen = attrs.get("windows", 1), seen_by_heads(attrs, k.shape[-2])
    return attended(q, k, v, bias, attrs["heads"], attrs["scale"], windows, seen)


def matmul(attrs: Attrs, args: Args) -> NDArray:
    y = products.product(attrs, need(args, 0), need(args, 1))
    return y * np.float32(attrs["scale"])


def concat(attrs: Attrs, args: Args) -> NDArray:
    given = present(args)
    batch = max(a.shape[0] if a.ndim == 3 else 1 for a in given)
    parts = [np.broadcast_to(a, (batch, *a.shape[-2:])) for a in given]
    return np.concatenate(parts, axis=attrs["axis"] - 2)


def slice_(attrs: Attrs, args: Args) -> NDArray:
    x, cut = need(args, 0), slice(attrs["start"], attrs["stop"])
    return x[:, cut] if attrs["axis"] == 0 else x[..., cut]


def gather(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0)[:, np.asarray(attrs["indices"])]


def reshape(attrs: Attrs, args: Args) -> NDArray:
    x = need(args, 0)
    return x.reshape(len(x), *attrs["shape"])


def mean(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0).mean(axis=-2, keepdims=True)


def softmax(attrs: Attrs, args: Args) -> NDArray:
    return softmax_of(need(args, 0))


def same(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0)


def argmax(attrs: Attrs, args: Args) -> NDArray:
    return need(args, 0).argmax(axis=-1, keepdims=True).astype(np.float32)


def maxpool(attrs: Attrs, args: Args) -> NDArray:
    return _windows(attrs, args, -np.inf).max(axis=-2)


def avgpool(attrs: Attrs, args: Args) -> NDArray:
    """Of the taps inside of the image; padding that counts is a convolution at import."""
    inside = _windows(attrs, [np.ones_like(need(args, 0)[:1, ..., :1])], 0.0).sum(axis=-2)
    return _windows(attrs, args, 0.0).sum(axis=-2) / inside


def resize(attrs: Attrs, args: Args) -> NDArray:
    """Sums of neighbouring lines, then of pixels; beyond the border lies what the border holds."""
    x = _mixed(need(args, 0), attrs["rows"], need(args, 1), -3)
    return _mixed(x, attrs["columns"], need(args, 2), -2)


def _mixed(x: NDArray, first: Sequence[int], weights: NDArray, axis: int) -> NDArray:
    last = x.shape[axis] - 1
    at, shape = np.asarray(first), (-1, *(1,) * (-axis - 1))
    taps = (
        np.take(x, np.clip(at + t, 0, last), axis) * weights[:, t].reshape(shape)
        for t in range(weights.shape[1])
    )
    return sum(taps, np.zeros((), x.dtype))


def _windows(attrs: Attrs, args: Args, fill: float) -> NDArray:
    return windows(need(args, 0), attrs["kernel"], attrs["strides"], attrs["pads"], fill=fill)
