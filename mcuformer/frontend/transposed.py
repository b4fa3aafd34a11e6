"""ConvTranspose and Col2Im: what windows give is added up where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic
from mcuformer.frontend.convolutions import convolved, flattened, lifted, lifted_attrs, with_gaps
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.joining import concat
from mcuformer.frontend.views import OwnFault, View
from mcuformer.ir.onnx_ops.base import Attrs
from mcuformer.ir.onnx_ops.transposed import transposed_grid, window_layers


def conv_transpose(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, attrs: Attrs, scales: NDArray | None
) -> View:
    """x[N, Ci, H, W] with w[Ci, Co/g, kh, kw] -> [N, Co, Ho, Wo]; [N, Ci, L] with [Ci, Co/g, k].

    Output pixel s*j + r is a sum over input pixels j, j - 1, ...: a convolution for every r, whose results lie
    between each other.
    """
    if w.ndim == 3:
        return flattened(
            conv_transpose(emit, lifted(x), w[:, :, None], b, lifted_attrs(attrs), scales)
        )
    if w.ndim != 4:
        raise OwnFault(f"looked for a 1-D or 2-D ConvTranspose, found weights {list(w.shape)}")
    grid = transposed_grid(attrs, x.shape[2:], w.shape[2:])
    w = with_gaps(w, grid.dilations)
    group = attrs.get("group", 1)
    kernels = _kernels(w, grid.strides, group)
    steps = [
        _Axis.of(size, out, s, begin, taps)
        for size, out, s, begin, taps in zip(
            x.shape[2:], grid.sizes, grid.strides, grid.begins, kernels.shape[-2:], strict=True
        )
    ]
    pads = [(a.begin, a.end) for a in steps]
    count, per, (sy, sx) = len(x.index), w.shape[1], grid.strides
    if per == 1 and group == w.shape[0] > 1:  # each channel by itself
        parts = [
            convolved(emit, x, kernels[:, r // sx, r % sx, 0], b, (1, 1), pads, group, scales)
            for r in range(sy * sx)
        ]
        y = concat(emit, list(parts), 0)
        index = y.index.reshape(sy, sx, count, group, 1, *y.shape[2:])
        index = index.transpose(2, 3, 0, 1, 4, 5, 6)
    else:
        bias, scales = (None if v is None else _spread(v, group, sy * sx) for v in (b, scales))
        weights = kernels.reshape(-1, *kernels.shape[4:])
        y = convolved(emit, x, weights, bias, (1, 1), pads, group, scales)
        index = y.index.reshape(count, group, sy, sx, per, *y.shape[2:])
    rows, columns = (a.places() for a in steps)
    index = index[:, :, rows[0][:, None], columns[0], :, rows[1][:, None], columns[1]]
    return y.with_index(index.transpose(2, 3, 4, 0, 1).reshape(count, group * per, *grid.sizes))


def _kernels(w: NDArray, strides: Sequence[int], group: int) -> NDArray:
    """[g, sy, sx, Co/g, Ci/g, taps, taps]: for every place between input pixels the kernel of its sum."""
    (sy, sx), (ci, per, kh, kw) = strides, w.shape
    ty, tx = -(-kh // sy), -(-kw // sx)
    grown = np.zeros((ci, per, ty * sy, tx * sx), w.dtype)
    grown[:, :, :kh, :kw] = w
    taps = grown.reshape(group, ci // group, per, ty, sy, tx, sx)[:, :, :, ::-1, :, ::-1]
    return taps.transpose(0, 4, 6, 2, 1, 3, 5)


def _spread(v: NDArray, group: int, times: int) -> NDArray:
    """[Co] for the output channels (g, place, Co/g)."""
    return np.repeat(v.reshape(group, 1, -1), times, axis=1).reshape(-1)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Output pixel o is place (o + pad) % stride of convolution result (o + pad) // stride + shift, under
    padding of `begin` and `end`."""

    out: int
    stride: int
    pad: int
    begin: int
    end: int
    shift: int

    @staticmethod
    def of(size: int, out: int, stride: int, pad: int, taps: int) -> _Axis:
        first, last = pad // stride, (out - 1 + pad) // stride
        begin = max(0, taps - 1 - first)
        return _Axis(out, stride, pad, begin, max(0, last + 1 - size), begin - taps + 1)

    def places(self) -> tuple[NDArray, NDArray]:
        """Of every output pixel."""
        at = np.arange(self.out) + self.pad
        return at % self.stride, at // self.stride + self.shift


def col2im(
    emit: Emitter, x: View, attrs: Attrs, image: Sequence[int], block: Sequence[int]
) -> View:
    """[N, C*kh*kw, L] -> [N, C, H, W]: every window's numbers added where it lies."""
    if len(image) != 2:
        raise OwnFault(f"looked for a Col2Im of an image, found one of {len(image)} axes")
    layers = window_layers(attrs, image, block)
    x = emit.zero_filled(x)
    channels = x.shape[1] // int(np.prod(block))
    total: View | None = None
    for taps, windows in layers:
        found = x.index.reshape(len(x.index), channels, -1, x.shape[2])[:, :, taps, windows]
        part = x.with_index(np.where(windows < 0, -1, found))
        total = part if total is None else arithmetic.add(emit, total, part)
    assert total is not None
    return total
