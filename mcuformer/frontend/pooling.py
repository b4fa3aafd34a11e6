"""MaxPool and AveragePool of any rank and batch, dilated or not, whatever their padding counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mcuformer.frontend import arithmetic
from mcuformer.frontend.convolutions import conv, flattened, image_of, lifted, lifted_attrs, planar
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.reductions import largest
from mcuformer.frontend.views import OwnFault, View
from mcuformer.ir.onnx_ops.base import Attrs
from mcuformer.ir.onnx_ops.pools import Window, ceil_count, spatial_pads

_LOWEST = -1e30  # padding of less than this is none for a maximum


def pool(emit: Emitter, kind: str, x: View, attrs: Attrs) -> View:
    """x[N, C, H, W] or [N, C, L]; every channel of every image is a channel of one image."""
    kernel = tuple(attrs["kernel_shape"])
    if len(kernel) == 1:
        return flattened(pool(emit, kind, lifted(x), lifted_attrs(attrs)))
    if len(kernel) != 2:
        raise OwnFault(
            f"looked for a pool along one or two axes, found one along {len(kernel)}: one pool for the last "
            "two axes, one for the others, works"
        )
    count, channels = x.shape[:2]
    y = _of_one_image(emit, kind, x.with_index(x.index.reshape(1, -1, *x.shape[2:])), attrs)
    return y.with_index(y.index.reshape(count, channels, *y.shape[2:]))


def _of_one_image(emit: Emitter, kind: str, x: View, attrs: Attrs) -> View:
    kernel = tuple(attrs["kernel_shape"])
    strides, dilations = (tuple(attrs.get(k) or (1, 1)) for k in ("strides", "dilations"))
    pads = spatial_pads(attrs, x.shape[2:], kernel, strides, dilations)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if any(p >= k for both, k in zip(pads, extents, strict=True) for p in both):
        raise OwnFault(
            "looked for pads smaller than the kernel, found windows of padding alone: cut the pads"
        )
    padded = any(any(p) for p in pads)
    dilated = any(d > 1 and k > 1 for d, k in zip(dilations, kernel, strict=True))
    if kind == "maxpool" and dilated:
        return _largest_of_taps(emit, x, attrs)
    if kind == "avgpool" and (dilated or (padded and attrs.get("count_include_pad", 0))):
        return _averaged(emit, x, attrs)
    if attrs.get("ceil_mode", 0):
        sizes = zip(x.shape[2:], kernel, strides, pads, strict=True)
        pads = [_ceil_pads(*size) for size in sizes]
    ordered = x.scale > 0 or kind == "avgpool"
    none = kind == "maxpool" and x.scale > 0 and x.scale * x.fill < _LOWEST
    image, border = image_of(emit, x if ordered else emit.unscaled(x), pads, none)
    spec = {"kernel": kernel, "strides": strides, "pads": border}
    return replace(planar(emit.op(kind, [image.name], spec)), scale=x.scale if ordered else 1.0)


def _averaged(emit: Emitter, x: View, attrs: Attrs) -> View:
    """A convolution of each channel by itself, times a number for each window that has another divisor."""
    channels, kernel = x.shape[1], tuple(attrs["kernel_shape"])
    window = Window.of(attrs, x.shape[2:], kernel)
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    divisors = window.over(ones, attrs.get("count_include_pad", 0), 0)[..., 0].sum(-1)
    n, taps = len(kernel), math.prod(kernel)
    pads = [*window.pads[:n], *(p + g for p, g in zip(window.pads[n:], window.grown, strict=True))]
    w = np.full((channels, 1, *kernel), 1.0 / taps, np.float32)
    how = {
        "group": channels,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": pads,
    }
    y = conv(emit, x, w, None, how, None)
    return arithmetic.multiply(emit, y, (taps / divisors)[:, None])


def _largest_of_taps(emit: Emitter, x: View, attrs: Attrs) -> View:
    """Of dilated windows: every tap is an image, padding another tap of the same window."""
    window = Window.of(attrs, x.shape[2:], attrs["kernel_shape"])
    taps = window.over(x.index.astype(np.float64), -2).astype(np.int64)  # [1, Ho, Wo, taps, C]
    taps = np.where(taps == -2, taps.max(-2, keepdims=True), taps)
    y = largest(emit, x.with_index(taps), [3], False)
    return y.with_index(np.moveaxis(y.index, -1, 1))


def _ceil_pads(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> tuple[int, int]:
    """Padding under which ceil_mode's windows, and no others, fit."""
    begin, end = pads
    count = ceil_count(size, size + begin + end - kernel, stride, begin)
    return begin, max(0, (count - 1) * stride + kernel - size - begin)
