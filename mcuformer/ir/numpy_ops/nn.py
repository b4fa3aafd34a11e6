"""ONNX matrix products, convolutions, pools and normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mcuformer.ir.numpy_ops.base import Args, Attrs, Kernel, need, optional


def matmul(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.asarray(np.matmul(need(args, 0), need(args, 1))),)


def gemm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    a, b, c = need(args, 0), need(args, 1), optional(args, 2)
    a = a.T if attrs.get("transA", 0) else a
    b = b.T if attrs.get("transB", 0) else b
    y = a @ b * a.dtype.type(attrs.get("alpha", 1.0))
    if c is not None:
        y = y + c * a.dtype.type(attrs.get("beta", 1.0))
    return (y.astype(a.dtype),)


def spatial_pads(
    attrs: Attrs,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """(begin, end) of every spatial axis, auto_pad resolved."""
    n, auto = len(size), attrs.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for s, k, st, d in zip(size, kernel, strides, dilations, strict=True):
            total = max((-(-s // st) - 1) * st + (k - 1) * d + 1 - s, 0)
            small, big = total // 2, total - total // 2
            pads.append((small, big) if auto == "SAME_UPPER" else (big, small))
        return pads
    flat = list(attrs.get("pads") or [0] * 2 * n) if auto == "NOTSET" else [0] * 2 * n
    return list(zip(flat[:n], flat[n:], strict=True))


def _windows(
    x: NDArray, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> NDArray:
    """[N, C, *out, *kernel] view of the padded x[N, C, *size]."""
    n = len(kernel)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    view = sliding_window_view(x, extent, axis=tuple(range(2, 2 + n)))
    index = (slice(None),) * 2 + tuple(slice(None, None, s) for s in strides)
    return view[index + tuple(slice(None, None, d) for d in dilations)]


def conv(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, w, b = need(args, 0), need(args, 1), optional(args, 2)
    n, group = w.ndim - 2, attrs.get("group", 1)
    kernel = w.shape[2:]
    strides, dilations = attrs.get("strides") or [1] * n, attrs.get("dilations") or [1] * n
    pads = spatial_pads(attrs, x.shape[2:], kernel, strides, dilations)
    view = _windows(np.pad(x, [(0, 0), (0, 0), *pads]), kernel, strides, dilations)
    batch, channels, out = x.shape[0], x.shape[1], view.shape[2 : 2 + n]
    per_group, taps = channels // group, math.prod(kernel)
    # [N, group, C/g, *out, *kernel] -> [N, group, out, C/g * taps]
    view = view.reshape(batch, group, per_group, *out, *kernel)
    order = (0, 1, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n))
    columns = view.transpose(order).reshape(batch, group, math.prod(out), per_group * taps)
    weights = w.reshape(group, w.shape[0] // group, per_group * taps)
    y = columns @ weights.transpose(0, 2, 1)
    y = y.transpose(0, 1, 3, 2).reshape(batch, w.shape[0], *out)
    return ((y if b is None else y + b.reshape(-1, *[1] * n)).astype(x.dtype),)


def pool(attrs: Attrs, args: Args, n_out: int, mean: bool) -> tuple[NDArray, ...]:
    x, kernel = need(args, 0), attrs["kernel_shape"]
    n = len(kernel)
    strides, dilations = attrs.get("strides") or [1] * n, attrs.get("dilations") or [1] * n
    pads = spatial_pads(attrs, x.shape[2:], kernel, strides, dilations)
    grown = [
        _ceil_grow(s, k, st, d, p) if attrs.get("ceil_mode", 0) else 0
        for s, k, st, d, p in zip(x.shape[2:], kernel, strides, dilations, pads, strict=True)
    ]
    axes = tuple(range(2 + n, 2 + 2 * n))

    def windows(data: NDArray, inner: object, outer: object) -> NDArray:
        data = np.pad(data, [(0, 0), (0, 0), *pads], constant_values=inner)  # type: ignore[call-overload]
        data = np.pad(data, [(0, 0), (0, 0), *((0, g) for g in grown)], constant_values=outer)  # type: ignore[call-overload]
        return _windows(data, kernel, strides, dilations)

    if not mean:
        low = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
        return (windows(x, low, low).max(axes),)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    count = windows(ones, attrs.get("count_include_pad", 0), 0).sum(axes)
    return ((windows(x, 0, 0).sum(axes) / count).astype(x.dtype),)


def _ceil_grow(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """Extra cells at the end so that the last partial window exists (ceil_mode)."""
    extent = (kernel - 1) * dilation + 1
    span = size + sum(pads) - extent
    return max((ceil_count(size, span, stride, pads[0]) - 1) * stride - span, 0)


def ceil_count(size: int, span: int, stride: int, begin: int) -> int:
    """Windows under ceil_mode: the last one must start inside the image or its left padding."""
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= size + begin else out


def max_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    largest = pool(attrs, args, n_out, mean=False)
    if n_out == 1:
        return largest
    x = need(args, 0)
    numbers = np.arange(x.size, dtype=np.float64).reshape(x.shape)
    if attrs.get("storage_order", 0):  # column-major within an image
        numbers = _column_major(x.shape)
    return (*largest, _where_largest(x, numbers, attrs))


def _column_major(shape: tuple[int, ...]) -> NDArray:
    image = np.arange(math.prod(shape[2:]), dtype=np.float64).reshape(shape[:1:-1]).T
    start = np.arange(shape[0] * shape[1]) * math.prod(shape[2:])
    return image + start.reshape(*shape[:2], *[1] * image.ndim)


def _where_largest(x: NDArray, numbers: NDArray, attrs: Attrs) -> NDArray:
    """The flat element number of each window's maximum, the first one where several are equal."""
    n = len(attrs["kernel_shape"])
    strides, dilations = attrs.get("strides") or [1] * n, attrs.get("dilations") or [1] * n
    pads = spatial_pads(attrs, x.shape[2:], attrs["kernel_shape"], strides, dilations)
    grow = [(0, 0), (0, 0), *pads]

    def flat(data: NDArray, fill: float) -> NDArray:
        padded = np.pad(data.astype(np.float64), grow, constant_values=fill)
        view = _windows(padded, attrs["kernel_shape"], strides, dilations)
        return view.reshape(*view.shape[: 2 + n], -1)

    best = flat(x, -np.inf).argmax(-1)[..., None]
    return np.take_along_axis(flat(numbers, -1), best, -1)[..., 0].astype(np.int64)


def average_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return pool(attrs, args, n_out, mean=True)


def global_average_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True),)


def global_max_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def batch_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    if attrs.get("training_mode", 0):
        raise ValueError("BatchNormalization in training mode")
    x, scale, b, mean, var = (need(args, i) for i in range(5))
    s = [-1] + [1] * (x.ndim - 2)
    k = scale / np.sqrt(var + var.dtype.type(attrs.get("epsilon", 1e-5)))
    return (((x - mean.reshape(s)) * k.reshape(s) + b.reshape(s)).astype(x.dtype),)


def layer_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Y, Mean, InvStdDev over the axes from `axis` on."""
    x, gamma, beta = need(args, 0), need(args, 1), optional(args, 2)
    axis = attrs.get("axis", -1)
    axes = tuple(range(axis + x.ndim if axis < 0 else axis, x.ndim))
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    centred = x - mean
    inv = 1.0 / np.sqrt((centred * centred).mean(axes, keepdims=True) + attrs.get("epsilon", 1e-5))
    y = centred * inv * gamma + (0 if beta is None else beta)
    outs = (y.astype(x.dtype), mean.astype(np.float32), inv.astype(np.float32))
    return outs[:n_out]


KERNELS: dict[str, Kernel] = {
    "MatMul": matmul, "Gemm": gemm, "Conv": conv, "MaxPool": max_pool,
    "AveragePool": average_pool, "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm,
}  # fmt: skip
