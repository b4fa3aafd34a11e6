"""The arithmetic that ONNX's operators and the canonical ones share: channels stand last here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def windows(
    x: NDArray,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int] | None = None,
    fill: float = 0.0,
) -> NDArray:
    """x[B,*size,C] -> [B,*out,taps,C]; `pads` are the begins of all axes, then their ends."""
    n = len(kernel)
    steps = dilations or [1] * n
    grow = [(0, 0), *zip(pads[:n], pads[n:], strict=True), (0, 0)]
    image = np.pad(x, grow, constant_values=fill)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, steps, strict=True))
    view = sliding_window_view(image, extent, axis=tuple(range(1, 1 + n)))  # [B,*out,C,*extent]
    chosen = [slice(None), *(slice(None, None, s) for s in strides), slice(None)]
    view = view[(*chosen, *(slice(None, None, d) for d in steps))]
    view = np.moveaxis(view, 1 + n, -1)
    return view.reshape(*view.shape[: 1 + n], math.prod(kernel), x.shape[-1])


def convolved(
    x: NDArray,
    w: NDArray,
    strides: Sequence[int],
    pads: Sequence[int],
    group: int = 1,
    dilations: Sequence[int] | None = None,
) -> NDArray:
    """x[B,*size,C], w[*kernel,C/group,N] -> [B,*out,N]."""
    *kernel, per_group, n = w.shape
    rows = windows(x, kernel, strides, pads, dilations)
    taps = rows.shape[-2]
    parts = rows.reshape(len(x), -1, taps, group, per_group)
    flat = w.reshape(taps, per_group, group, n // group)
    y = np.einsum("bpkgc,kcgn->bpgn", parts, flat, optimize=True)
    return y.reshape(*rows.shape[:-2], n)


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    e = x - x.max(axis=axis, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis=axis, keepdims=True)
    return e


def normalised(
    x: NDArray, axes: int | tuple[int, ...], eps: float, centred: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x less its mean over `axes`, divided by its deviation; that mean and that deviation. Not `centred`:
    the mean is taken to be 0 (RMSNorm)."""
    wide = x.astype(np.float64)
    mean = wide.mean(axis=axes, keepdims=True)
    mean = mean if centred else np.zeros_like(mean)
    wide = wide - mean
    deviation = np.sqrt(np.mean(wide * wide, axis=axes, keepdims=True) + eps)
    return wide / deviation, mean, deviation


def attended(
    q: NDArray,
    k: NDArray,
    v: NDArray,
    bias: NDArray | None,
    heads: int,
    scale: float,
    windows: int,
    seen: NDArray | None = None,
) -> NDArray:
    """Rows [..., windows * T, heads * d] attend to the keys of their window, or to those `seen`."""
    p = attention_weights(q, k, bias, heads, scale, windows, seen)
    y = np.moveaxis(p @ by_window(v, heads, windows), -3, -2)
    return y.reshape(*y.shape[:-4], y.shape[-4] * y.shape[-3], -1)


def attention_weights(
    q: NDArray,
    k: NDArray,
    bias: NDArray | None,
    heads: int,
    scale: float,
    windows: int,
    seen: NDArray | None = None,
) -> NDArray:
    """Probabilities [..., windows, heads, queries, keys]; `seen` [heads, queries, keys]: 0 elsewhere."""
    q, k = (by_window(x, heads, windows) for x in (q, k))
    scores = q @ np.swapaxes(k, -1, -2)
    scores *= np.float32(scale)
    if bias is not None:
        every = bias.shape[0] > heads  # one for every window
        scores = scores + (bias.reshape(windows, heads, *bias.shape[1:]) if every else bias)
    return softmax(scores if seen is None else np.where(seen, scores, np.float32(-np.inf)))


def by_window(x: NDArray, heads: int, windows: int) -> NDArray:
    """[..., windows * T, heads * d] -> [..., windows, heads, T, d]."""
    split = x.reshape(*x.shape[:-2], windows, x.shape[-2] // windows, heads, -1)
    return np.moveaxis(split, -2, -3)
