"""Resize (nearest, linear, cubic, antialiased): one matrix per axis, applied in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    need,
    optional,
    shape_of,
)

_SAME = 1e-4  # cells between a size and what a scale in float32 makes of it


def resize(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    axes = [a % x.ndim for a in attrs.get("axes") or range(x.ndim)]
    scales, sizes = target_sizes(attrs, x.shape, axes, optional(args, 2), optional(args, 3))
    roi = optional(args, 1)
    crops = attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize" and roi is not None
    y, outside = x.astype(np.float64), np.zeros((1,) * x.ndim, np.bool_)
    for i, axis in enumerate(axes):
        window = (0.0, 1.0)
        if crops and roi is not None:
            window = (float(roi[i]), float(roi[i + len(axes)]))
        if sizes[i] == x.shape[axis] and scales[i] == 1.0 and not crops:
            continue
        where = _coordinates(attrs, x.shape[axis], sizes[i], scales[i], window)
        matrix = _matrix(attrs, where, x.shape[axis], scales[i])
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ matrix.T, -1, axis)
        beyond = (where < 0) | (where > x.shape[axis] - 1)
        outside = outside | beyond.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    if crops:
        y = np.where(outside, attrs.get("extrapolation_value", 0.0), y)
    if np.issubdtype(x.dtype, np.integer):
        info = np.iinfo(x.dtype)
        y = np.clip(np.rint(y), info.min, info.max)
    return (y.astype(x.dtype),)


def as_resize(kind: str, attrs: Attrs, args: Args) -> tuple[Attrs, Args]:
    """Attributes and operands behind x (roi, scales, sizes) of a Resize that does the same.

    An Upsample samples from the first cell on; its scales are an operand (opset 9) or an attribute.
    """
    if kind == "Resize":
        return attrs, args
    mode = str(attrs.get("mode", "nearest"))
    known = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    given = optional(args, 0)
    scales = np.asarray(attrs["scales"], np.float32) if given is None else given
    return {**known, "mode": "linear" if mode == "bilinear" else mode}, [None, scales]


def roi_given(args: Args) -> bool:
    """Of the operands behind x."""
    return bool(args) and args[0] is not None and args[0].size > 0


def upsample(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    attrs, rest = as_resize("Upsample", attrs, args[1:])
    return resize(attrs, [need(args, 0), *rest], 1)


def target_sizes(
    attrs: Attrs,
    shape: Sequence[int],
    axes: list[int],
    scales: NDArray | None,
    sizes: NDArray | None,
) -> tuple[list[float], list[int]]:
    """Scale and output size of every axis in `axes`; sizes in float32, where 3 * (5/3) is 5."""
    if scales is not None and scales.size:
        grown = np.asarray([shape[a] for a in axes], np.float32) * scales.astype(np.float32)
        return [float(s) for s in scales], [int(size) for size in np.floor(grown)]
    if sizes is None:
        raise ValueError("Resize has neither scales nor sizes")
    wanted = [int(s) for s in sizes]
    factors = [w / shape[a] for a, w in zip(axes, wanted, strict=True)]
    policy = attrs.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        one = min(factors) if policy == "not_larger" else max(factors)
        factors = [one] * len(axes)
        wanted = [int(np.floor(shape[a] * one + 0.5)) for a in axes]
    return factors, wanted


def _coordinates(
    attrs: Attrs, size: int, out: int, scale: float, window: tuple[float, float]
) -> NDArray:
    """Where each output sample lies in the input, in input cells.

    In float32 for the nearest cell, as onnxruntime: rounding decides which of two that is.
    """
    nearest = attrs.get("mode", "nearest") == "nearest"
    i: NDArray[Any] = np.arange(out).astype(np.float32 if nearest else np.float64)
    length = out if abs(size * scale - out) < _SAME else size * scale
    match attrs.get("coordinate_transformation_mode", "half_pixel"):
        case "half_pixel":
            return (i + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            centre = size / 2 * (1 - out / (size * scale))
            return centre + (i + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (i + 0.5) / scale - 0.5 if out > 1 else np.zeros(out)
        case "align_corners":
            return i * (size - 1) / (out - 1) if out > 1 else np.zeros(out)
        case "asymmetric":
            return i * size / length
        case "tf_half_pixel_for_nn":  # of opset 11 and 12
            return (i + 0.5) / scale
        case "tf_crop_and_resize":
            start, end = window
            if out > 1:
                return start * (size - 1) + i * (end - start) * (size - 1) / (out - 1)
            return np.full(out, 0.5 * (start + end) * (size - 1))
        case other:
            raise ValueError(f"Resize with coordinate mode {other}")


def _matrix(attrs: Attrs, where: NDArray, size: int, scale: float) -> NDArray:
    """[out, size] weights; cells beyond the border count as the border."""
    if attrs.get("mode", "nearest") == "nearest":
        chosen = np.clip(_nearest(attrs, where, scale), 0, size - 1).astype(np.int64)
        return np.eye(size)[chosen]
    first, weights = _taps(attrs, where, size, scale)
    cells = first[:, None] + np.arange(weights.shape[1])
    matrix = np.zeros((len(where), size))
    rows = np.broadcast_to(np.arange(len(where))[:, None], cells.shape)
    np.add.at(matrix, (rows, np.clip(cells, 0, size - 1)), weights)
    return matrix


def axis_taps(attrs: Attrs, size: int, out: int, scale: float) -> tuple[NDArray, NDArray]:
    """Of one axis, mode linear or cubic: the first cell of every output sample, and the weights [out, n]
    of it and the next ones; cells beyond the border hold what the border holds."""
    return _taps(attrs, _coordinates(attrs, size, out, scale, (0.0, 1.0)), size, scale)


def _taps(attrs: Attrs, where: NDArray, size: int, scale: float) -> tuple[NDArray, NDArray]:
    mode = attrs.get("mode", "nearest")
    if mode not in ("linear", "cubic"):
        raise ValueError(f"Resize of mode {mode}")
    alpha = attrs.get("cubic_coeff_a", -0.75)
    kernel: Callable[[NDArray], NDArray] = _tent if mode == "linear" else lambda t: _cubic(t, alpha)
    stretch = min(scale, 1.0) if attrs.get("antialias", 0) else 1.0
    reach = int(np.ceil((1 if mode == "linear" else 2) / stretch)) + 1
    cells = np.floor(where).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    weights = kernel((cells - where[:, None]) * stretch)
    if attrs.get("exclude_outside", 0):
        weights = np.where((cells >= 0) & (cells < size), weights, 0.0)
    weights /= weights.sum(1, keepdims=True)
    used = np.flatnonzero(weights.any(0))
    cut = slice(used[0], used[-1] + 1)
    return cells[:, cut][:, 0], weights[:, cut]


def _nearest(attrs: Attrs, where: NDArray, scale: float) -> NDArray:
    match attrs.get("nearest_mode", "round_prefer_floor"):
        case "simple":  # before opset 11, as onnxruntime reads it
            return np.ceil(where) if scale < 1 else np.floor(where)
        case "round_prefer_floor":
            return np.ceil(where - 0.5)
        case "round_prefer_ceil":
            return np.floor(where + 0.5)
        case "floor":
            return np.floor(where)
        case "ceil":
            return np.ceil(where)
        case other:
            raise ValueError(f"Resize with nearest mode {other}")


def _tent(t: NDArray) -> NDArray:
    return np.maximum(1.0 - np.abs(t), 0.0)


def _cubic(t: NDArray, a: float) -> NDArray:
    """Keys' cubic convolution kernel."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _resized(op: Op, types: Types, data: Args) -> list[Shape]:
    shape = list(shape_of(types, 0))
    attrs, rest = as_resize(op.kind, op.attrs, data[1:])
    axes = [a % len(shape) for a in attrs.get("axes") or range(len(shape))]
    _, out = target_sizes(attrs, shape, axes, optional(rest, 1), optional(rest, 2))
    for axis, size in zip(axes, out, strict=True):
        shape[axis] = size
    return [tuple(shape)]


ROWS = (
    OnnxOp("Resize", "moved", _resized, FIRST, resize, "nearest, linear, cubic"),
    OnnxOp("Upsample", "moved", _resized, FIRST, upsample, "nearest, linear"),
)
