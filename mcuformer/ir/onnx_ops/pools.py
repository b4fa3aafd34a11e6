"""ONNX pools, and the windows that they share with convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops.arithmetic import windows
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    FIRST,
    Args,
    Attrs,
    OnnxOp,
    Shape,
    Types,
    need,
    shape_of,
)


@dataclass(frozen=True, slots=True)
class Window:
    """The attributes of a window with their defaults; `pads` are all begins, then all ends.

    `grown`: cells behind the pads for the last partial window (ceil_mode).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    grown: tuple[int, ...]

    @staticmethod
    def of(attrs: Attrs, size: Sequence[int], kernel: Sequence[int]) -> Window:
        n = len(kernel)
        strides, dilations = attrs.get("strides") or [1] * n, attrs.get("dilations") or [1] * n
        pads = spatial_pads(attrs, size, kernel, strides, dilations)
        rows = zip(size, kernel, strides, dilations, pads, strict=True)
        grown = [_ceil_grow(*row) if attrs.get("ceil_mode", 0) else 0 for row in rows]
        ends = zip(*pads, strict=True)
        return Window(
            tuple(kernel),
            tuple(strides),
            tuple(dilations),
            tuple(p for end in ends for p in end),
            tuple(grown),
        )

    def over(self, x: NDArray, fill: float, behind: float | None = None) -> NDArray:
        """x[N,C,*size] -> [N,*out,taps,C]; pads hold `fill`, what is grown holds `behind`."""
        pads, n = self.pads, len(self.kernel)
        image = np.moveaxis(x, 1, -1)
        if any(self.grown):
            inner = [(0, 0), *zip(pads[:n], pads[n:], strict=True), (0, 0)]
            outer = [(0, 0), *((0, g) for g in self.grown), (0, 0)]
            image = np.pad(image, inner, constant_values=fill)
            last = fill if behind is None else behind
            image = np.pad(image, outer, constant_values=last)
            pads = (0,) * 2 * n
        return windows(image, self.kernel, self.strides, pads, self.dilations, fill)


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


def _ceil_grow(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """Extra cells at the end so that the last partial window exists (ceil_mode)."""
    extent = (kernel - 1) * dilation + 1
    span = size + sum(pads) - extent
    return max((ceil_count(size, span, stride, pads[0]) - 1) * stride - span, 0)


def ceil_count(size: int, span: int, stride: int, begin: int) -> int:
    """Windows under ceil_mode: the last one must start inside the image or its left padding."""
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= size + begin else out


def _pool_window(attrs: Attrs, x: NDArray) -> Window:
    return Window.of(attrs, x.shape[2:], attrs["kernel_shape"])


def max_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """The largest of every window, and its flat element number, the first one of equals."""
    x = need(args, 0)
    window = _pool_window(attrs, x)
    low = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    largest = np.moveaxis(window.over(x, low).max(-2), -1, 1)
    if n_out == 1:
        return (largest,)
    numbers = np.arange(x.size, dtype=np.float64).reshape(x.shape)
    if attrs.get("storage_order", 0):  # column-major within an image
        numbers = _column_major(x.shape)
    best = window.over(x.astype(np.float64), -np.inf).argmax(-2, keepdims=True)
    chosen = np.take_along_axis(window.over(numbers, -1), best, -2)[..., 0, :]
    return (largest, np.moveaxis(chosen, -1, 1).astype(np.int64))


def _column_major(shape: tuple[int, ...]) -> NDArray:
    image = np.arange(math.prod(shape[2:]), dtype=np.float64).reshape(shape[:1:-1]).T
    start = np.arange(shape[0] * shape[1]) * math.prod(shape[2:])
    return image + start.reshape(*shape[:2], *[1] * image.ndim)


def average_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    window = _pool_window(attrs, x)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    count = window.over(ones, attrs.get("count_include_pad", 0), 0).sum(-2)
    mean = window.over(x, 0).sum(-2) / count
    return (np.moveaxis(mean, -1, 1).astype(x.dtype),)


def global_average_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True),)


def global_max_pool(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def windowed(op: Op, size: Shape, kernel: Shape) -> Shape:
    """The size that windows of this operation give."""
    n = len(kernel)
    strides = op.attrs.get("strides") or [1] * n
    dilations = op.attrs.get("dilations") or [1] * n
    if len(size) != n or len(strides) != n or len(dilations) != n or min(*strides, *dilations) < 1:
        raise ValueError(f"kernel {kernel}, strides {strides} on {size}")
    pads = spatial_pads(op.attrs, size, kernel, strides, dilations)
    spans = [s + sum(p) - (k - 1) * d - 1
             for s, p, k, d in zip(size, pads, kernel, dilations, strict=True)]  # fmt: skip
    if min(spans) < 0:
        raise ValueError(f"kernel {kernel} is larger than the padded image {size}")
    if op.attrs.get("ceil_mode", 0):
        rows = zip(size, spans, strides, pads, strict=True)
        return tuple(ceil_count(s, span, st, p[0]) for s, span, st, p in rows)
    return tuple(span // st + 1 for span, st in zip(spans, strides, strict=True))


def _pooled(op: Op, types: Types, data: Args) -> list[Shape]:
    x = shape_of(types, 0)
    return [(*x[:2], *windowed(op, x[2:], tuple(op.attrs["kernel_shape"])))] * len(op.outputs)


def _global(op: Op, types: Types, data: Args) -> list[Shape]:
    x = shape_of(types, 0)
    return [(*x[:2], *[1] * (len(x) - 2))]


ROWS = (
    OnnxOp("MaxPool", "compiled", _pooled, FIRST, max_pool, "2-D; values, not indices",
           later="int64"),
    OnnxOp("AveragePool", "compiled", _pooled, FIRST, average_pool, "2-D"),
    OnnxOp("GlobalAveragePool", "compiled", _global, FIRST, global_average_pool),
    OnnxOp("GlobalMaxPool", "compiled", _global, FIRST, global_max_pool),
)  # fmt: skip
