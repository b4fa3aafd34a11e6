"""ONNX's ConvTranspose and Col2Im: windows whose numbers are added up where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    FIRST,
    Args,
    Attrs,
    OnnxOp,
    Shape,
    Types,
    ints_of,
    need,
    optional,
    shape_of,
)


@dataclass(frozen=True, slots=True)
class TransposedGrid:
    """The image that a ConvTranspose makes: `begins` of it are cut off."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    sizes: tuple[int, ...]


def transposed_grid(attrs: Attrs, size: Sequence[int], kernel: Sequence[int]) -> TransposedGrid:
    n, auto = len(size), attrs.get("auto_pad", "NOTSET")
    strides, dilations = (tuple(attrs.get(k) or [1] * n) for k in ("strides", "dilations"))
    more = attrs.get("output_padding") or [0] * n
    pads, wanted = attrs.get("pads") or [0] * 2 * n, attrs.get("output_shape")
    begins, sizes = [], []
    for i in range(n):
        whole = strides[i] * (size[i] - 1) + more[i] + (kernel[i] - 1) * dilations[i] + 1
        begin, out = pads[i], whole - pads[i] - pads[n + i]
        if wanted or auto in ("SAME_UPPER", "SAME_LOWER"):
            out = wanted[i - n] if wanted else size[i] * strides[i]
            cut = max(0, whole - out)
            begin = cut // 2 if auto == "SAME_UPPER" else cut - cut // 2
        elif auto == "VALID":
            begin, out = 0, whole
        begins.append(begin)
        sizes.append(out)
    return TransposedGrid(strides, dilations, tuple(begins), tuple(sizes))


def conv_transpose(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """x[N,C,*size], w[C,M/g,*kernel] -> [N,M,*out]."""
    x, w, b = need(args, 0), need(args, 1), optional(args, 2)
    grid, group = transposed_grid(attrs, x.shape[2:], w.shape[2:]), attrs.get("group", 1)
    steps = list(zip(x.shape[2:], grid.strides, strict=True))
    room = [s * (n - 1) + (k - 1) * d + 1
            for (n, s), k, d in zip(steps, w.shape[2:], grid.dilations, strict=True)]  # fmt: skip
    room = [max(r, b + o) for r, b, o in zip(room, grid.begins, grid.sizes, strict=True)]
    y = np.zeros((len(x), group, w.shape[1], *room), np.float64)
    parts = x.reshape(len(x), group, -1, *x.shape[2:])
    weights = w.reshape(group, -1, *w.shape[1:])
    for tap in np.ndindex(*w.shape[2:]):
        at: Any = (..., *(slice(t * d, t * d + (n - 1) * s + 1, s)
              for t, d, (n, s) in zip(tap, grid.dilations, steps, strict=True)))  # fmt: skip
        where: Any = (..., *tap)
        y[at] += np.einsum("ngc...,gcm->ngm...", parts, weights[where])
    y = y.reshape(len(x), -1, *room)
    cut: Any = (..., *(slice(b, b + n) for b, n in zip(grid.begins, grid.sizes, strict=True)))
    y = y[cut]
    y = y if b is None else y + b.reshape(-1, *[1] * len(steps))
    return (y.astype(x.dtype),)


def window_layers(
    attrs: Attrs, image: Sequence[int], block: Sequence[int]
) -> Iterator[tuple[NDArray, NDArray]]:
    """Col2Im as a sum of images: which tap of which window every pixel takes, -1 where none."""
    n = len(image)
    strides, dilations = (tuple(attrs.get(k) or [1] * n) for k in ("strides", "dilations"))
    pads = attrs.get("pads") or [0] * 2 * n
    axes = []
    for i in range(n):
        count = (image[i] + pads[i] + pads[n + i] - (block[i] - 1) * dilations[i] - 1) // strides[
            i
        ] + 1
        axes.append(_axis_layers(image[i], block[i], strides[i], dilations[i], pads[i], count))
    counts = [count for count, _ in axes]
    for chosen in np.ndindex(*(len(layers) for _, layers in axes)):
        taps = windows = np.zeros((1,) * n, np.int64)
        missing = np.zeros((1,) * n, np.bool_)
        for i, layer in enumerate(chosen):
            tap, window = (
                v.reshape([-1 if a == i else 1 for a in range(n)]) for v in axes[i][1][layer]
            )
            taps, windows = taps * block[i] + tap, windows * counts[i] + window
            missing = missing | (window < 0)
        yield np.where(missing, 0, taps), np.where(missing, -1, windows)


def _axis_layers(
    size: int, block: int, stride: int, dilation: int, pad: int, count: int
) -> tuple[int, list[tuple[NDArray, NDArray]]]:
    """Windows of one axis, and by layer the tap and the window of every pixel, no window twice."""
    at = np.arange(size) + pad
    found: list[list[tuple[int, int]]] = [
        [(t, (o - t * dilation) // stride) for t in range(block)
         if (o - t * dilation) % stride == 0 and 0 <= o - t * dilation < count * stride]
        for o in at.tolist()
    ]  # fmt: skip
    layers = []
    for i in range(max(1, *(len(f) for f in found)) if found else 1):
        chosen = [f[i] if i < len(f) else (0, -1) for f in found]
        layers.append((np.array([t for t, _ in chosen]), np.array([w for _, w in chosen])))
    return count, layers


def col2im(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """[N, C*prod(block), L] -> [N, C, *image]."""
    x = need(args, 0)
    image, block = ([int(v) for v in need(args, i)] for i in (1, 2))
    parts = x.reshape(len(x), -1, math.prod(block), x.shape[2])
    total = np.zeros((*parts.shape[:2], *image), x.dtype)
    for taps, windows in window_layers(attrs, image, block):
        total += np.where(windows < 0, 0, parts[:, :, taps, windows])
    return (total,)


def _transposed(op: Op, types: Types, data: Args) -> list[Shape]:
    x, w = shape_of(types, 0), shape_of(types, 1)
    if len(x) != len(w) or len(x) < 3 or x[1] != w[0]:
        raise ValueError(f"cannot convolve {x} with transposed weights {w}")
    sizes = transposed_grid(op.attrs, x[2:], w[2:]).sizes
    if min(sizes) < 1:
        raise ValueError(f"ConvTranspose of {x} with weights {w} leaves no pixel")
    return [(x[0], w[1] * op.attrs.get("group", 1), *sizes)]


def _folded(op: Op, types: Types, data: Args) -> list[Shape]:
    x = shape_of(types, 0)
    image, block = ints_of(data, 1, "the image's size"), ints_of(data, 2, "the block's size")
    return [(x[0], x[1] // math.prod(block), *image)]


ROWS = (
    OnnxOp("ConvTranspose", "compiled", _transposed, FIRST, conv_transpose,
           "1-D, 2-D; constant weights"),
    OnnxOp("Col2Im", "compiled", _folded, FIRST, col2im, "of images"),
)  # fmt: skip
