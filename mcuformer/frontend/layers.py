"""Linear layers, convolutions, normalisations, pools: where views become canonical tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic, products, statistics
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Tensor, Unsupported, View, whole
from mcuformer.ir.onnx_ops.base import Attrs


def linear(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, scales: NDArray | None = None
) -> View:
    """x[..., K] @ w[K, N] + b. Rows keep their order in the base where x merely permutes them."""
    lead, k, n = x.shape[:-1], w.shape[0], w.shape[1]
    scales = None if scales is None else np.abs(scales * x.scale)
    patches = _as_patches(emit, x, w, b, scales)
    if patches is not None:
        return patches.with_index(patches.index.reshape(*lead, n))
    ordered = emit.ordered(x)
    assert isinstance(ordered.base, Tensor)
    rows = row_order(ordered, k)
    if rows is None and ordered.base.name in emit.of_products:
        mixed = products.mixed(emit, x, w)
        if mixed is not None:
            return mixed if b is None else arithmetic.add(emit, mixed, b)
    if rows is None:
        source = emit.place(x, x.index.reshape(-1, k), keep_scale=True)
        rows = np.arange(source.shape[0])
    else:
        source = emit.tokens(ordered.base)
    operands = [source.name, emit.weight(w * x.scale, scales)]
    if b is not None:
        operands.append(emit.const("b", b))
    out = emit.op("linear", operands, suffix="")
    return View(out, (rows[:, None] * n + np.arange(n)).reshape(*lead, n))


def row_order(x: View, k: int) -> NDArray | None:
    """For each row x[..., :] of k elements the base row it is; None when rows are no base rows."""
    index = x.index.reshape(-1, k)
    if x.base.shape[-1] != k or (index[:, 0] % k).any():
        return None
    if not (index == index[:, :1] + np.arange(k)).all():
        return None
    return np.asarray(index[:, 0] // k)


def _as_patches(
    emit: Emitter, x: View, w: NDArray, b: NDArray | None, scales: NDArray | None
) -> View | None:
    """A linear layer over the windows of an image is a convolution; rows in row-major order."""
    if not isinstance(x.base, Tensor) or len(x.base.shape) != 3:
        return None
    _, width, c = x.base.shape
    index = x.index.reshape(-1, w.shape[0])
    if index.min() < 0 or w.shape[0] == c:
        return None
    y, rest = np.divmod(index, width * c)
    px, ch = np.divmod(rest, c)
    kh, kw = int(y[0].max()) + 1, int(px[0].max()) + 1
    top, left = y.min(1), px.min(1)
    same = (y - top[:, None] == y[0]).all() and (px - left[:, None] == px[0]).all()
    if not same or (ch != ch[0]).any() or kh * kw * c != w.shape[0]:
        return None
    ys, xs = np.unique(top), np.unique(left)
    grid = np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).reshape(-1, 2)
    if not np.array_equal(grid, np.stack([top, left], -1)):
        return None
    strides = tuple(int(g[1]) if len(g) > 1 else k for g, k in ((ys, kh), (xs, kw)))
    if (np.diff(ys) != strides[0]).any() or (np.diff(xs) != strides[1]).any():
        return None
    kernel = np.zeros((kh, kw, c, w.shape[1]), w.dtype)
    kernel[y[0], px[0], ch[0]] = w * x.scale
    operands = [x.base.name, emit.weight(kernel, scales)]
    if b is not None:
        operands.append(emit.const("b", b))
    attrs = {"strides": strides, "pads": (0, 0, 0, 0), "group": 1}
    out = emit.op("conv2d", operands, attrs, "")
    return whole(out) if out.shape[:2] == (len(ys), len(xs)) else None


def gemm(
    emit: Emitter,
    a: View,
    b: NDArray,
    c: NDArray | View | None,
    attrs: Attrs,
    scales: NDArray | None,
) -> View:
    if attrs.get("transA", 0):
        a = a.with_index(a.index.T)
    alpha = attrs.get("alpha", 1.0)
    w = (b.T if attrs.get("transB", 0) else b) * alpha
    scales = None if scales is None else np.abs(scales * alpha)
    beta = attrs.get("beta", 1.0)
    if isinstance(c, np.ndarray) and c.size == w.shape[1]:
        return linear(emit, a, w, c.reshape(-1) * beta, scales)
    y = linear(emit, a, w, None, scales)
    if c is None:
        return y
    return arithmetic.add(
        emit,
        y,
        np.asarray(c * beta) if isinstance(c, np.ndarray) else arithmetic.scaled(c, beta),
    )


def matmul(emit: Emitter, a: View | NDArray, b: View | NDArray, scales: NDArray | None) -> View:
    """One constant operand: a linear layer."""
    if isinstance(a, View) and isinstance(b, np.ndarray):
        return linear(emit, a, _matrix(b), None, scales)
    assert isinstance(a, np.ndarray) and isinstance(b, View)  # (W x)^T = x^T W^T
    return linear(emit, b.transposed(), _matrix(a).T, None, scales).transposed()


def _matrix(w: NDArray) -> NDArray:
    while w.ndim > 2 and w.shape[0] == 1:
        w = w[0]
    if w.ndim != 2:
        raise OwnFault(
            f"looked for a matrix [K, N], found a constant factor of shape {list(w.shape)}: one MatMul "
            "per matrix, or Conv with groups, works"
        )
    return w


def layernorm(
    emit: Emitter, x: View, gamma: NDArray, beta: NDArray | None, eps: float, axis: int,
    centred: bool = True,
) -> View:  # fmt: skip
    """Over the last axes; not `centred`: RMSNorm. Groups of a row (q/k-norm of heads) stay where they are."""
    if x.scale == 0:
        raise Unsupported("looked for activations, found them multiplied by 0: drop the branch")
    size = math.prod(x.shape[axis:])
    eps = eps / (x.scale * x.scale)  # norm(s*x, eps) = norm(x, eps/s^2), for s > 0
    sign = math.copysign(1.0, x.scale)
    ordered = emit.ordered(x)
    index = ordered.index.reshape(-1, size)
    assert isinstance(ordered.base, Tensor)
    channels = ordered.base.shape[-1]
    in_place = (
        channels % size == 0
        and not (index[:, 0] % size).any()
        and bool((index == index[:, :1] + np.arange(size)).all())
    )
    if in_place:
        base, result = emit.tokens(ordered.base), ordered.index
    elif (y := statistics.groupnorm(emit, ordered, index, eps, centred)) is not None:
        y = arithmetic.multiply(emit, y, np.asarray(gamma * sign))
        return y if beta is None else arithmetic.add(emit, y, beta)
    else:
        base = emit.place(x, x.index.reshape(-1, size), keep_scale=True)
        result = np.arange(x.index.size).reshape(x.shape)
    groups = base.shape[1] // size
    operands: list[str | None] = [base.name]
    g = np.tile(np.broadcast_to(gamma * sign, x.shape[axis:]).reshape(-1), groups)
    if (g != 1.0).any() or beta is not None:
        operands.append(emit.const("gamma", g))
    if beta is not None:
        operands.append(
            emit.const("beta", np.tile(np.broadcast_to(beta, x.shape[axis:]).reshape(-1), groups))
        )
    attrs = {"eps": eps, "groups": groups} | ({} if centred else {"centred": False})
    out = emit.op("layernorm", operands, attrs, "")
    return View(out, result)


def channel_norm(
    emit: Emitter, x: View, gamma: NDArray, beta: NDArray, groups: int, eps: float
) -> View:
    """GroupNorm and InstanceNorm of x[1, C, ...]; gamma and beta per channel."""
    if x.shape[1] % groups or not x.scale:
        raise OwnFault(f"malformed: {groups} groups do not divide {x.shape[1]} channels")
    apart = x.with_index(x.index.reshape(x.shape[0] * groups, -1))
    size = apart.shape[-1]
    y = layernorm(emit, apart, np.ones(size), None, eps, 1)
    y = y.with_index(y.index.reshape(x.shape))
    shape = (-1, *[1] * (len(x.shape) - 2))
    return arithmetic.add(
        emit, arithmetic.multiply(emit, y, gamma.reshape(shape)), beta.reshape(shape)
    )


def batchnorm(emit: Emitter, x: View, params: Sequence[NDArray], eps: float) -> View:
    """x*k + (b - mean*k), per channel (axis 1); the passes fold it into its neighbour."""
    scale, b, mean, var = (p.astype(np.float64) for p in params)
    k = scale / np.sqrt(var + eps)
    shape = (-1, *[1] * (len(x.shape) - 2))
    y = arithmetic.multiply(emit, x, k.reshape(shape))
    return arithmetic.add(emit, y, (b - mean * k).reshape(shape))
