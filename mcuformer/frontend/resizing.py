"""Resize and Upsample: the nearest cell is a move, sums of cells are an operator on images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, View
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops import resize as onnx
from mcuformer.ir.onnx_ops.base import Attrs

Taps = tuple[NDArray, NDArray]  # the first cell of every sample, weights [samples, n]
_TAPS: Mapping[str, int] = {"linear": 2, "cubic": 4}  # at least: kernels have a loop for two by two


def resize(emit: Emitter, op: Op, x: View, args: Sequence[NDArray | None]) -> View:
    """x over a grid of other size; what keeps its size is no operation."""
    attrs, args = onnx.as_resize(op.kind, op.attrs, args)
    mode = attrs.get("mode", "nearest")
    crops = attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if crops and onnx.roi_given(args):
        raise OwnFault("looked for a Resize of the whole image, found tf_crop_and_resize: Slice, "
                       "then Resize, works")  # fmt: skip
    if mode == "nearest":
        return x.with_index(onnx.resize(attrs, [x.index, *args], 1)[0])
    if mode not in _TAPS:
        raise OwnFault(f"looked for mode nearest, linear or cubic, found {mode}")
    taps = _axes(attrs, x.shape, args)
    while taps:
        pair, taps = taps[:2], taps[2:]
        x = _two_axes(emit, x, pair)
    return x


def _axes(
    attrs: Attrs, shape: Sequence[int], args: Sequence[NDArray | None]
) -> list[tuple[int, Taps]]:
    """The axes that change, and their taps."""
    axes = [a % len(shape) for a in attrs.get("axes") or range(len(shape))]
    _, scales, sizes = (*args, None, None, None)[:3]
    factors, out = onnx.target_sizes(attrs, shape, axes, scales, sizes)
    found = []
    for axis, factor, count in zip(axes, factors, out, strict=True):
        if count == shape[axis] and factor == 1.0:
            continue
        first, weights = onnx.axis_taps(attrs, shape[axis], count, factor)
        least = _TAPS[attrs["mode"]] - weights.shape[1]
        weights = np.pad(weights, ((0, 0), (0, max(0, least))))
        if not _is_identity(first, weights, shape[axis]):
            found.append((axis, (first, weights)))
    return found


def _is_identity(first: NDArray, weights: NDArray, size: int) -> bool:
    if len(first) != size:
        return False
    cells = np.clip(first[:, None] + np.arange(weights.shape[1]), 0, size - 1)
    others = np.where(cells == np.arange(size)[:, None], 0.0, weights)
    return bool(np.abs(others).max() < 1e-6)


def _two_axes(emit: Emitter, x: View, taps: Sequence[tuple[int, Taps]]) -> View:
    """One or two axes become lines and pixels of an image, all others its channels."""
    axes = [a for a, _ in taps]
    rest = [a for a in range(len(x.shape)) if a not in axes]
    sizes = [x.shape[a] for a in axes]
    lead = [1, *sizes] if len(axes) == 1 else sizes
    moved = x.index.transpose(*axes, *rest).reshape(*lead, -1)
    image = emit.place(x, moved, keep_scale=True)
    still: Taps = (np.zeros(1, np.int64), np.array([[1.0, 0.0]]))
    (rows, wy), (columns, wx) = [still] * (2 - len(taps)) + [t for _, t in taps]
    attrs = {"rows": tuple(map(int, rows)), "columns": tuple(map(int, columns))}
    operands = [image.name, emit.const("wy", wy), emit.const("wx", wx)]
    out = emit.op("resize", operands, attrs, "")
    grown = [len(t[0]) for _, t in taps] + [x.shape[a] for a in rest]
    index = np.arange(math.prod(grown)).reshape(grown)
    return View(out, index.transpose(np.argsort([*axes, *rest])), x.scale)
