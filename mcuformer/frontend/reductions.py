"""Pools, means, the largest: what is computed along axes or windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.layers import conv, planar
from mcuformer.frontend.views import OwnFault, Unsupported, View, is_arange
from mcuformer.ir.onnx_ops.base import Attrs, wrapped
from mcuformer.ir.onnx_ops.pools import ceil_count, spatial_pads


def pool(emit: Emitter, kind: str, x: View, attrs: Attrs) -> View:
    kernel = tuple(attrs["kernel_shape"])
    strides = tuple(attrs.get("strides") or [1] * len(kernel))
    if len(kernel) != 2 or x.shape[0] != 1:
        raise OwnFault(
            f"looked for a 2-D pool of [1, C, H, W], found {len(kernel)}-D of {list(x.shape)}: a 1-D "
            "one is [1, C, 1, W] under a kernel of (1, k)"
        )
    if any(d != 1 for d in attrs.get("dilations") or ()):
        raise OwnFault(
            f"looked for a pool without dilation, found dilations {list(attrs['dilations'])}: what works "
            "is dilation 1, or every second pixel (Slice) before the pool"
        )
    pads = spatial_pads(attrs, x.shape[2:], kernel, strides, (1, 1))
    padded = any(any(p) for p in pads)
    if any(p >= k for both, k in zip(pads, kernel, strict=True) for p in both):
        raise OwnFault(
            "looked for pads smaller than the kernel, found windows of padding alone: cut the pads"
        )
    if kind == "avgpool" and padded and attrs.get("count_include_pad", 0):
        if attrs.get("ceil_mode", 0) and _grows(x.shape[2:], kernel, strides, pads):
            raise OwnFault(
                "looked for ceil_mode or count_include_pad, found both: either of them alone works"
            )
        return _counted(emit, x, kernel, attrs)
    if attrs.get("ceil_mode", 0):
        sizes = zip(x.shape[2:], kernel, strides, pads, strict=True)
        pads = [_ceil_pads(*size) for size in sizes]
    ordered = x.scale > 0 or kind == "avgpool"
    image = emit.place(x, x.index[0].transpose(1, 2, 0), keep_scale=ordered)
    (top, bottom), (left, right) = pads
    spec = {"kernel": kernel, "strides": strides, "pads": (top, left, bottom, right)}
    return replace(planar(emit.op(kind, [image.name], spec)), scale=x.scale if ordered else 1.0)


def _counted(emit: Emitter, x: View, kernel: Sequence[int], attrs: Attrs) -> View:
    """An average in which padding counts as zeros: a convolution of each channel by itself."""
    channels = x.shape[1]
    w = np.full((channels, 1, *kernel), 1.0 / math.prod(kernel), np.float32)
    counted = {**attrs, "group": channels, "ceil_mode": 0}
    return conv(emit, x, w, None, counted, None)


def _grows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> bool:
    """Whether ceil_mode has a window more than there would be without it."""
    spans = [s + sum(p) - k for s, k, p in zip(sizes, kernel, pads, strict=True)]
    rows = zip(sizes, spans, strides, pads, strict=True)
    return any(ceil_count(s, span, by, p[0]) > span // by + 1 for s, span, by, p in rows)


def _ceil_pads(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> tuple[int, int]:
    """Padding under which ceil_mode's windows, and no others, fit."""
    begin, end = pads
    count = ceil_count(size, size + begin + end - kernel, stride, begin)
    return begin, max(0, (count - 1) * stride + kernel - size - begin)


def largest(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """The largest along axes: those elements become an image of one column, under one window."""
    target, shape = _reduction(x, axes, keepdims)
    if len(target) == 1:
        return x.with_index(x.index.reshape(shape))
    ordered = x.scale > 0
    target, restore = _cheapest_order(emit, x, target)
    rows = emit.place(x, target, keep_scale=ordered)
    column = emit.reshape(rows, (rows.shape[0], 1, rows.shape[1]))
    spec = {"kernel": (len(target), 1), "strides": (1, 1), "pads": (0, 0, 0, 0)}
    out = emit.op("maxpool", [column.name], spec)
    return View(out, restore.reshape(shape), x.scale if ordered else 1.0)


def mean(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """Mean over axes: those elements become rows, all others channels."""
    target, shape = _reduction(x, axes, keepdims)
    if len(target) == 1:
        return x.with_index(x.index.reshape(shape))
    target, restore = _cheapest_order(emit, x, target)
    if target.shape[1] == 1 and x.base.shape[0] == 1:  # of one row, which stays one
        row = emit.place(x, target.T, keep_scale=True)
        share = emit.weight(np.full((len(target), 1), 1.0 / len(target)), None)
        return View(emit.op("linear", [row.name, share]), restore.reshape(shape), x.scale)
    rows = emit.place(x, target, keep_scale=True)
    out = emit.op("mean", [rows.name])
    return View(out, restore.reshape(shape), x.scale)


def _reduction(x: View, axes: Sequence[int], keepdims: bool) -> tuple[NDArray, tuple[int, ...]]:
    """Elements [reduced, kept], and the result's shape."""
    reduced = sorted({wrapped(a, len(x.shape)) for a in axes})
    kept = [a for a in range(len(x.shape)) if a not in reduced]
    count = math.prod(x.shape[a] for a in reduced)
    shape = tuple(1 if a in reduced else d for a, d in enumerate(x.shape) if keepdims or a in kept)
    return x.index.transpose(*reduced, *kept).reshape(count, -1), shape


def _cheapest_order(emit: Emitter, x: View, target: NDArray) -> tuple[NDArray, NDArray]:
    """Rows in base order: a mean does not mind, and whole rows need no gather."""
    rows = target[np.argsort(target[:, 0], kind="stable")]
    order = np.argsort(rows[0], kind="stable")
    if is_arange(order):
        return rows, np.arange(target.shape[1])
    restore = np.empty_like(order)
    restore[order] = np.arange(len(order))
    return rows[:, order], restore


def argmax(emit: Emitter, x: View, axis: int, keepdims: bool) -> View:
    """Index of the largest along one axis: those elements become the channels of rows."""
    if x.scale <= 0:
        raise Unsupported(
            "looked for the largest of values, found the largest of negated values: negate the weights "
            "of the layer before"
        )
    moved = np.moveaxis(x.index, axis, -1)
    rows = emit.place(x, moved.reshape(-1, moved.shape[-1]), keep_scale=True)
    index = np.arange(rows.shape[0]).reshape(moved.shape[:-1])
    out = emit.op("argmax", [rows.name])
    return View(out, np.expand_dims(index, axis) if keepdims else index)
