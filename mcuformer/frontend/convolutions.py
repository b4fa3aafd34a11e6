"""Convolutions of any rank, batch, dilation: as 2-D ones of one image, and moves around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.layers import linear
from mcuformer.frontend.views import OwnFault, Tensor, View, whole
from mcuformer.ir.onnx_ops.base import Attrs
from mcuformer.ir.onnx_ops.pools import spatial_pads

Borders = Sequence[tuple[int, int]]  # (begin, end) of lines, of pixels


def conv(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, attrs: Attrs, scales: NDArray | None
) -> View:
    """x[N, Ci, H, W] with w[Co, Ci/g, kh, kw] -> [N, Co, Ho, Wo]; [N, Ci, L] with [Co, Ci/g, k]."""
    if w.ndim == 3:
        return flattened(conv(emit, lifted(x), w[:, :, None], b, lifted_attrs(attrs), scales))
    if w.ndim != 4:
        raise OwnFault(
            f"convolution of {list(x.shape)} with weights {list(w.shape)}: want 1-D or 2-D ones; a 3-D one "
            "of one depth is 2-D"
        )
    strides, dilations = (tuple(attrs.get(k) or (1, 1)) for k in ("strides", "dilations"))
    if _mixes_heads(emit, x, w, attrs):
        return _pointwise(emit, x, w, b, scales)
    pads = spatial_pads(attrs, x.shape[2:], w.shape[2:], strides, dilations)
    group = attrs.get("group", 1)
    dilations = tuple(d if k > 1 else 1 for d, k in zip(dilations, w.shape[2:], strict=True))
    if max(dilations) > 1:
        if strides == (1, 1):
            return _dilated(emit, x, w, b, dilations, pads, group, scales)
        w = with_gaps(w, dilations)
    return convolved(emit, x, w, b, strides, pads, group, scales)


def _mixes_heads(emit: Emitter, x: View, w: NDArray, attrs: Attrs) -> bool:
    """Whether it is a linear layer over the heads of an attention's scores or probabilities."""
    point = w.shape[2:] == (1, 1) and attrs.get("group", 1) == 1
    moved = any(s != 1 for s in attrs.get("strides") or ()) or any(attrs.get("pads") or ())
    if not point or moved:
        return False
    return not isinstance(x.base, Tensor) or x.base.name in emit.of_products


def _pointwise(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, scales: NDArray | None
) -> View:
    rows = x.with_index(np.moveaxis(x.index, 1, -1))
    y = linear(emit, rows, w[:, :, 0, 0].T, b, scales)
    return y.with_index(np.moveaxis(y.index, -1, 1))


def lifted(x: View) -> View:
    """[N, C, L] as an image of one line."""
    return x.with_index(x.index[:, :, None])


def flattened(x: View) -> View:
    return x.with_index(x.index[:, :, 0])


def lifted_attrs(attrs: Attrs) -> Attrs:
    """Of a window along one axis, for one of one line."""
    found = dict(attrs)
    for name in ("strides", "dilations", "output_padding", "kernel_shape", "output_shape"):
        if attrs.get(name):
            found[name] = [int(name != "output_padding"), *attrs[name]]
    if attrs.get("pads"):
        begin, end = attrs["pads"]
        found["pads"] = [0, begin, 0, end]
    return found


def with_gaps(w: NDArray, dilations: Sequence[int]) -> NDArray:
    """The kernel [.., kh, kw] with the zeros that a dilation skips."""
    sizes = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    grown = np.zeros((*w.shape[:2], *sizes), w.dtype)
    grown[:, :, :: dilations[0], :: dilations[1]] = w
    return grown


def _dilated(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, dilations: Sequence[int], pads: Borders,
    group: int, scales: NDArray | None,
) -> View:  # fmt: skip
    """Every d-th line and pixel, for each of the d*d places to begin, is an image under a kernel without gaps."""
    x = emit.zero_filled(x)
    count, channels = x.shape[:2]
    extents = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    grown = [
        [(low, high + -(size + low + high) % d)]
        for size, (low, high), d in zip(x.shape[2:], pads, dilations, strict=True)
    ]
    index = np.pad(x.index, [(0, 0), (0, 0), *(g[0] for g in grown)], constant_values=-1)
    (dy, dx), (height, width) = dilations, index.shape[2:]
    parts = index.reshape(count, channels, height // dy, dy, width // dx, dx)
    batch = parts.transpose(0, 3, 5, 1, 2, 4).reshape(-1, channels, height // dy, width // dx)
    none = [(0, 0), (0, 0)]
    y = convolved(emit, x.with_index(batch), w, b, (1, 1), none, group, scales)
    parts = y.index.reshape(count, dy, dx, *y.shape[1:]).transpose(0, 3, 4, 1, 5, 2)
    lines, pixels = parts.shape[2] * dy, parts.shape[4] * dx
    sizes = [
        size + low + high - extent + 1
        for size, (low, high), extent in zip(x.shape[2:], pads, extents, strict=True)
    ]
    index = parts.reshape(count, w.shape[0], lines, pixels)
    return y.with_index(index[:, :, : sizes[0], : sizes[1]])


def convolved(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, strides: Sequence[int], pads: Borders,
    group: int, scales: NDArray | None,
) -> View:  # fmt: skip
    """Without dilation. Several images lie one below the other, with lines of padding between them."""
    count = x.shape[0]
    if count == 1:
        return _one_image(emit, x, w, b, strides, pads, group, scales)
    if (
        w.shape[2:] == (1, 1)
        and group == 1
        and tuple(strides) == (1, 1)
        and not any(map(any, pads))
    ):
        return _pointwise(emit, x, w, b, scales)
    x = emit.zero_filled(x)
    (top, bottom), sides = pads
    height, stride = x.shape[2], strides[0]
    lines = (height + top + bottom - w.shape[2]) // stride + 1
    block = -(-(height + max(top, bottom)) // stride) * stride
    index = np.pad(x.index, [(0, 0), (0, 0), (0, block - height), (0, 0)], constant_values=-1)
    tall = index.transpose(1, 0, 2, 3).reshape(1, x.shape[1], count * block, -1)
    last = block * (count - 1) + height
    y = _one_image(
        emit, x.with_index(tall[:, :, :last]), w, b, strides, ((top, bottom), sides), group, scales
    )
    chosen = np.arange(count)[:, None] * (block // stride) + np.arange(lines)
    return y.with_index(y.index[0][:, chosen].transpose(1, 0, 2, 3))


def _one_image(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, strides: Sequence[int], pads: Borders,
    group: int, scales: NDArray | None,
) -> View:  # fmt: skip
    image, border = image_of(emit, x, pads, x.fill == 0)
    scales = None if scales is None else np.abs(scales * x.scale)
    operands = [image.name, emit.weight(w.transpose(2, 3, 1, 0) * x.scale, scales)]
    if b is not None:
        operands.append(emit.const("b", b))
    spec = {"strides": tuple(strides), "pads": border, "group": group}
    return planar(emit.op("conv2d", operands, spec, ""))


def planar(image: Tensor) -> View:
    """[H, W, C] as the ONNX tensor [1, C, H, W]."""
    view = whole(image)
    return view.with_index(view.index.transpose(2, 0, 1)[None])


def image_of(
    emit: Emitter, x: View, pads: Borders, neutral: bool
) -> tuple[Tensor, tuple[int, int, int, int]]:
    """x[1, C, H, W] as [H, W, C], and (top, left, bottom, right): `neutral` fill at the borders becomes padding."""
    index = x.index[0].transpose(1, 2, 0)
    (top, bottom), (left, right) = pads
    filled = (index < 0).all(2) & neutral
    while index.shape[0] > 1 and filled[0].all():
        index, filled, top = index[1:], filled[1:], top + 1
    while index.shape[0] > 1 and filled[-1].all():
        index, filled, bottom = index[:-1], filled[:-1], bottom + 1
    while index.shape[1] > 1 and filled[:, 0].all():
        index, filled, left = index[:, 1:], filled[:, 1:], left + 1
    while index.shape[1] > 1 and filled[:, -1].all():
        index, filled, right = index[:, :-1], filled[:, :-1], right + 1
    return emit.place(x, index, keep_scale=True), (top, left, bottom, right)
