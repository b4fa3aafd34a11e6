"""ONNX matrix products, convolutions and normalisations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops.arithmetic import convolved, normalised
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
    same_shape,
    shape_of,
    wrapped,
)
from mcuformer.ir.onnx_ops.pools import Window, windowed


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


def conv(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """x[N,C,*size], w[M,C/g,*kernel] -> [N,M,*out]."""
    x, w, b = need(args, 0), need(args, 1), optional(args, 2)
    window = Window.of(attrs, x.shape[2:], w.shape[2:])
    weights = np.moveaxis(w, (0, 1), (-1, -2))
    y = convolved(
        np.moveaxis(x, 1, -1),
        weights,
        window.strides,
        window.pads,
        attrs.get("group", 1),
        window.dilations,
    )
    y = np.moveaxis(y if b is None else y + b, -1, 1)
    return (np.ascontiguousarray(y, x.dtype),)


def lp_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """x / |x|, 0 where that is 0."""
    x, p = need(args, 0), attrs.get("p", 2)
    norm = np.linalg.norm(x, ord=p, axis=attrs.get("axis", -1), keepdims=True)
    return (np.divide(x, norm, out=np.zeros_like(x), where=norm != 0),)


def mean_variance_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    y = normalised(x, tuple(attrs.get("axes", (0, 2, 3))), 1e-18)[0]
    return (y.astype(x.dtype),)


def instance_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return grouped_norm({**attrs, "num_groups": need(args, 0).shape[1]}, args, n_out)


def grouped_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """x[N,C,...]; gamma and beta per group (opset 18) or per channel (21)."""
    x, gamma, beta = need(args, 0), need(args, 1), need(args, 2)
    groups = int(attrs["num_groups"])
    parts = x.reshape(x.shape[0], groups, -1)
    y = normalised(parts, -1, attrs.get("epsilon", 1e-5))[0].reshape(x.shape)
    s = (-1, *[1] * (x.ndim - 2))
    scale, shift = (per_channel(v, x.shape[1]).reshape(s) for v in (gamma, beta))
    return ((y * scale + shift).astype(x.dtype),)


def per_channel(v: NDArray, channels: int) -> NDArray:
    return np.repeat(v, channels // len(v))


def batch_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """In training mode with the batch's own statistics, and the running ones behind y."""
    x, scale, b, mean, var = (need(args, i) for i in range(5))
    s = [-1] + [1] * (x.ndim - 2)
    if attrs.get("training_mode", 0):
        return _trained(attrs, x, scale, b, (mean, var))[:n_out]
    k = scale / np.sqrt(var + var.dtype.type(attrs.get("epsilon", 1e-5)))
    return (((x - mean.reshape(s)) * k.reshape(s) + b.reshape(s)).astype(x.dtype),)


def _trained(
    attrs: Attrs, x: NDArray, scale: NDArray, b: NDArray, running: tuple[NDArray, NDArray]
) -> tuple[NDArray, ...]:
    axes, s = (0, *range(2, x.ndim)), [-1] + [1] * (x.ndim - 2)
    now, keep = (x.mean(axes), x.var(axes)), attrs.get("momentum", 0.9)
    y = (x - now[0].reshape(s)) / np.sqrt(now[1] + attrs.get("epsilon", 1e-5)).reshape(s)
    after = [old * keep + new * (1 - keep) for old, new in zip(running, now, strict=True)]
    y = y * scale.reshape(s) + b.reshape(s)
    return (y.astype(x.dtype), *(a.astype(x.dtype) for a in after))


def layer_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Y, Mean, InvStdDev over the axes from `axis` on."""
    x, gamma, beta = need(args, 0), need(args, 1), optional(args, 2)
    axes = tuple(range(wrapped(attrs.get("axis", -1), x.ndim), x.ndim))
    y, mean, deviation = normalised(x, axes, attrs.get("epsilon", 1e-5))
    y = y * gamma + (0 if beta is None else beta)
    outs = (y.astype(x.dtype), mean.astype(np.float32), (1 / deviation).astype(np.float32))
    return outs[:n_out]


def rms_norm(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    """Y and, of com.microsoft's operator, InvStdDev over the axes from `axis` on."""
    x, gamma = need(args, 0), need(args, 1)
    axes = tuple(range(wrapped(attrs.get("axis", -1), x.ndim), x.ndim))
    y, _, deviation = normalised(x, axes, attrs.get("epsilon", 1e-5), centred=False)
    return ((y * gamma).astype(x.dtype), (1 / deviation).astype(np.float32))[:n_out]


def _and_vectors(op: Op, types: Types, data: Args) -> list[Shape]:
    """The shape of x, and of the statistics behind it."""
    return [shape_of(types, 0), *[shape_of(types, 1)] * 4][: len(op.outputs)]


def _product(op: Op, types: Types, data: Args) -> list[Shape]:
    a, b = shape_of(types, 0), shape_of(types, 1)
    if not a or not b:
        raise ValueError("MatMul of a scalar")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise ValueError(f"cannot multiply {a} by {b}")
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    tail = left[-2:-1] * (len(a) > 1) + right[-1:] * (len(b) > 1)
    return [(*lead, *tail)]


def _gemm(op: Op, types: Types, data: Args) -> list[Shape]:
    a, b = shape_of(types, 0), shape_of(types, 1)
    if len(a) != 2 or len(b) != 2:
        raise ValueError(f"Gemm of {a} and {b}")
    m, k = a[::-1] if op.attrs.get("transA", 0) else a
    k2, n = b[::-1] if op.attrs.get("transB", 0) else b
    if k != k2:
        raise ValueError(f"Gemm of {a} and {b}")
    return [(m, n)]


def _conv(op: Op, types: Types, data: Args) -> list[Shape]:
    x, w = shape_of(types, 0), shape_of(types, 1)
    if len(x) != len(w) or len(x) < 3 or x[1] != w[1] * op.attrs.get("group", 1):
        raise ValueError(f"cannot convolve {x} with weights {w}")
    return [(x[0], w[0], *windowed(op, x[2:], w[2:]))]


def _normalised(op: Op, types: Types, data: Args) -> list[Shape]:
    x = shape_of(types, 0)
    axis = wrapped(op.attrs.get("axis", -1), len(x))
    return [x, *[(*x[:axis], *[1] * (len(x) - axis))] * 2][: len(op.outputs)]


ROWS = (
    OnnxOp("MatMul", "compiled", _product, FIRST, matmul,
           "by a constant matrix, or of two activations"),
    OnnxOp("Gemm", "compiled", _gemm, FIRST, gemm,
           "by a constant matrix, or of two activations"),
    OnnxOp("Conv", "compiled", _conv, FIRST, conv, "2-D, constant weights"),
    OnnxOp("BatchNormalization", "compiled", _and_vectors, FIRST, batch_norm,
           "folded into the layer beside it; training_mode=1 on constants"),
    OnnxOp("InstanceNormalization", "compiled", same_shape, FIRST, instance_norm,
           "over all positions"),
    OnnxOp("GroupNormalization", "compiled", same_shape, FIRST, grouped_norm,
           "over all positions"),
    OnnxOp("MeanVarianceNormalization", "compiled", same_shape, FIRST, mean_variance_norm),
    OnnxOp("LpNormalization", "compiled", same_shape, FIRST, lp_norm, "p = 2"),
    OnnxOp("LayerNormalization", "compiled", _normalised, FIRST, layer_norm, "over the last axes",
           later="float32"),
    OnnxOp("RMSNormalization", "compiled", _normalised, FIRST, rms_norm, "over the last axes"),
    OnnxOp("SimplifiedLayerNormalization", "compiled", _normalised, FIRST, rms_norm,
           "over the last axes", later="float32"),
)  # fmt: skip
