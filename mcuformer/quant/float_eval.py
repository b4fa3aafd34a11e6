"""Canonical float graphs evaluated over a batch: what calibration and SQNR compare with.

Every array carries one batch axis in front (constants have none and broadcast); float32 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.functions import Function, function
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Feeds, feeds
from mcuformer.ir.types import grid_ends

Arrays = Sequence[NDArray]
OptionalArrays = Sequence[NDArray | None]

_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def erf(x: NDArray) -> NDArray:
    """Abramowitz and Stegun 7.1.26 in float64: absolute error below 1.5e-7."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    poly = t * (_ERF[0] + t * (_ERF[1] + t * (_ERF[2] + t * (_ERF[3] + t * _ERF[4]))))
    return np.sign(x) * (1.0 - poly * np.exp(-np.square(x)))


def sigmoid(x: NDArray) -> NDArray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


UNARY: Mapping[str, Function] = {
    "gelu": lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "hardsigmoid": lambda x, alpha=1 / 6, beta=0.5: np.clip(alpha * x + beta, 0.0, 1.0),
    "clip": np.clip,
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x),
    "hardswish": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
}


def softmax(x: NDArray) -> NDArray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def patches(
    x: NDArray,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    fill: float = 0.0,
) -> NDArray:
    """x[B,H,W,C] -> [B,Ho,Wo,kh*kw,C]."""
    (kh, kw), (sy, sx), (t, left, b, r) = kernel, strides, pads
    image = np.pad(x, ((0, 0), (t, b), (left, r), (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(image, (kh, kw), axis=(1, 2))
    view = np.moveaxis(view[:, ::sy, ::sx], 3, 5)
    return view.reshape(*view.shape[:3], kh * kw, x.shape[-1])


def _conv2d(op: Op, x: NDArray, w: NDArray) -> NDArray:
    kh, kw, cg, co = w.shape
    group = op.attrs.get("group", 1)
    rows = patches(x, (kh, kw), op.attrs["strides"], op.attrs["pads"])
    rows = rows.reshape(*rows.shape[:4], group, cg)
    flat = w.reshape(kh * kw, cg, group, co // group)
    y = np.einsum("bhwkgc,kcgn->bhwgn", rows, flat, optimize=True).reshape(*rows.shape[:3], co)
    return y.reshape(y.shape[0], -1, co) if op.kind == "patch_embed" else y


def weighted_sum(op: Op, args: OptionalArrays) -> NDArray:
    """linear, conv2d, patch_embed up to their bias: (x, w, b?, residual?)."""
    x, w, b = [*args, None][:3]
    assert x is not None and w is not None
    y = x @ w if op.kind == "linear" else _conv2d(op, x, w)
    return y if b is None else y + b


def _weighted(op: Op, args: OptionalArrays) -> NDArray:
    """With the fused epilogue (quant/rewrites/fuse_epilogue.py)."""
    y = weighted_sum(op, args)
    res = args[3] if len(args) > 3 else None
    y = y if res is None else y + res
    fn = op.attrs.get("fn")
    return y if fn is None else function(UNARY, fn)(y)


def _layernorm(op: Op, args: Arrays, gamma: NDArray | None, beta: NDArray | None) -> NDArray:
    x = args[0]
    v = x.reshape(*x.shape[:-1], op.attrs["groups"], -1).astype(np.float64)
    v = v - v.mean(axis=-1, keepdims=True)
    v = v / np.sqrt(np.mean(v * v, axis=-1, keepdims=True) + op.attrs["eps"])
    y = v.reshape(x.shape).astype(np.float32)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _attention(op: Op, args: Arrays) -> NDArray:
    h, n = op.attrs["heads"], op.attrs.get("windows", 1)
    split = (x.reshape(*x.shape[:-2], n, x.shape[-2] // n, h, -1) for x in args[:3])
    q, k, v = (np.moveaxis(x, -2, -3) for x in split)  # [..., windows, heads, T, d]
    scores = (q @ np.swapaxes(k, -1, -2)) * np.float32(op.attrs["scale"])
    if len(args) > 3:
        bias = args[3]
        scores = scores + (bias.reshape(n, h, *bias.shape[1:]) if bias.shape[0] > h else bias)
    y = np.moveaxis(softmax(scores) @ v, -3, -2)
    return y.reshape(*y.shape[:-4], y.shape[-4] * y.shape[-3], -1)


def _concat(op: Op, args: Arrays) -> NDArray:
    batch = max(a.shape[0] if a.ndim == 3 else 1 for a in args)
    parts = [np.broadcast_to(a, (batch, *a.shape[-2:])) for a in args]
    return np.concatenate(parts, axis=op.attrs["axis"] - 2)


def _slice(op: Op, args: Arrays) -> NDArray:
    window = slice(op.attrs["start"], op.attrs["stop"])
    return args[0][:, window] if op.attrs["axis"] == 0 else args[0][..., window]


def _maxpool(op: Op, args: Arrays) -> NDArray:
    attrs = op.attrs
    return patches(args[0], attrs["kernel"], attrs["strides"], attrs["pads"], -np.inf).max(axis=-2)


def _avgpool(op: Op, args: Arrays) -> NDArray:
    attrs = op.attrs
    return patches(args[0], attrs["kernel"], attrs["strides"], attrs["pads"]).mean(axis=-2)


_OPS: Mapping[str, Callable[[Op, Arrays], NDArray]] = {
    "unary": lambda op, args: function(UNARY, op.attrs["fn"])(args[0]),
    "add": lambda op, args: args[0] + args[1],
    "mul": lambda op, args: args[0] * args[1],
    "attention": _attention,
    "concat": _concat,
    "slice": _slice,
    "gather": lambda op, args: args[0][:, np.asarray(op.attrs["indices"])],
    "mean": lambda op, args: args[0].mean(axis=-2, keepdims=True),
    "softmax": lambda op, args: softmax(args[0]),
    "requant": lambda op, args: args[0],
    "argmax": lambda op, args: args[0].argmax(axis=-1, keepdims=True).astype(np.float32),
    "maxpool": _maxpool,
    "avgpool": _avgpool,
}


def arguments(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> list[NDArray | None]:
    """Inputs of `op` in order: constants from the graph, activations from `env`."""

    def get(name: str | None) -> NDArray | None:
        if name is None:
            return None
        data = graph.const(name)
        return env[name] if data is None else data

    return [get(name) for name in op.inputs]


def eval_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    """One canonical operation on batched inputs; `env` holds its activations.

    Quiet where numbers overflow, as float runtimes are: who uses the result checks it (calibrate).
    """
    with np.errstate(all="ignore"):
        return _eval_op(graph, op, env)


def _eval_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    args = arguments(graph, op, env)
    if op.kind in ("linear", "conv2d", "patch_embed"):
        y = _weighted(op, args)
    elif op.kind == "layernorm":
        padded = [*args, None, None][:3]
        assert padded[0] is not None
        y = _layernorm(op, [padded[0]], padded[1], padded[2])
    elif op.kind == "reshape":
        assert args[0] is not None
        y = args[0].reshape(args[0].shape[0], *graph.type(op.outputs[0]).shape)
    elif op.kind in _OPS:
        y = _OPS[op.kind](op, [a for a in args if a is not None])
    else:
        raise UnsupportedModelError(f"{op.name}: no float definition of {op.kind}")
    return np.asarray(_saturated(graph, op.outputs[0], y), np.float32)


def _saturated(graph: Graph, name: str, y: NDArray) -> NDArray:
    """Cut where the grid ends that a QDQ model gives the value: it may stand for a Relu or Clip."""
    grid = graph.meta.get("qdq", {}).get(name)
    return y if grid is None else np.clip(y, *grid_ends(*grid))


def eval_steps(graph: Graph, x: Feeds) -> Iterator[tuple[Op, dict[str, NDArray]]]:
    """After each operation: it and the values still alive (with a reader to come, or outputs).

    `x` holds samples [N, ...] in the layout of the graph's input, one array per input.
    """
    last: dict[str, int] = {}
    for i, op in enumerate(graph.ops):
        last.update({n: i for n in op.inputs if n is not None})
    env = {
        name: np.asarray(a, np.float32)
        for name, a in zip(graph.inputs, feeds(graph, x), strict=True)
    }
    for i, op in enumerate(graph.ops):
        env[op.outputs[0]] = eval_op(graph, op, env)
        yield op, env
        for name in {n for n in op.inputs if n is not None}:
            if last[name] == i and name in env and name not in graph.outputs:
                del env[name]
