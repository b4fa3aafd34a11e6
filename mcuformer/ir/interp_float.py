"""Runs float graphs in numpy: ONNX operators as they are, and the canonical stage.

float32 like onnxruntime, sums of normalisations in float64. The canonical interpreter is what
calibration runs, so it stays on BLAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.functions import function
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Feeds, feeds, is_image, onnx_shape
from mcuformer.ir.numpy_ops import KERNELS
from mcuformer.ir.numpy_ops.special import UNARY

Arrays = list[NDArray | None]


def run_onnx(graph: Graph, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """All values of a graph at stage "onnx"; feeds and results carry the file's own shapes."""
    env = {n: v.data for n, v in graph.values.items() if v.data is not None} | dict(feeds)
    for op in graph.ops:
        args = [None if i is None else env[i] for i in op.inputs]
        env.update(zip(op.outputs, KERNELS[op.kind](op.attrs, args, len(op.outputs)), strict=False))
    return env


def canonical_input(graph: Graph, x: NDArray, index: int = 0) -> NDArray:
    """An ONNX input (with its batch axis of 1, or without) as the graph's [H, W, C] or [T, C]."""
    shape = onnx_shape(graph, index)
    if x.shape not in (shape, shape[1:]):
        raise UsageError(f"the model's input has shape {list(shape)}, the data {list(x.shape)}")
    x = np.asarray(x, np.float32).reshape(shape)
    if is_image(graph, index):
        x = x[0].transpose(1, 2, 0)
    return np.ascontiguousarray(x.reshape(graph.type(graph.inputs[index]).shape))


def onnx_outputs(graph: Graph, env: Mapping[str, NDArray]) -> list[NDArray]:
    """The graph's results in the shapes that the ONNX file declares."""
    pairs = zip(graph.outputs, graph.meta["output_shapes"], strict=True)
    return [env[n].reshape(shape) for n, shape in pairs]


def run_float(graph: Graph, x: Feeds) -> dict[str, NDArray]:
    """All activations of a canonical graph for one sample in the ONNX layout."""
    env: dict[str, NDArray] = {
        graph.inputs[i]: canonical_input(graph, a, i) for i, a in enumerate(feeds(graph, x))
    }
    consts = {n: v.data for n, v in graph.values.items() if v.data is not None}
    for op in graph.ops:
        args: Arrays = [None if i is None else env[i] if i in env else consts[i] for i in op.inputs]
        env[op.outputs[0]] = run_op(op, args)
    return env


def run_op(op: Op, args: Arrays) -> NDArray:
    """One canonical operator."""
    return _CANONICAL[op.kind](op, args)


def _arg(args: Arrays, i: int) -> NDArray:
    value = args[i]
    assert value is not None
    return value


def _opt(args: Arrays, i: int) -> NDArray | None:
    return args[i] if i < len(args) else None


def _linear(op: Op, args: Arrays) -> NDArray:
    y = _arg(args, 0) @ _arg(args, 1)
    b = _opt(args, 2)
    if b is not None:
        y += b
    return y


def _windows(x: NDArray, kernel: tuple[int, ...], op: Op, fill: float = 0.0) -> NDArray:
    """[Ho, Wo, C, kh, kw] view of the padded image."""
    top, left, bottom, right = op.attrs["pads"]
    x = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    sy, sx = op.attrs["strides"]
    return sliding_window_view(x, kernel, axis=(0, 1))[::sy, ::sx]


def _conv2d(op: Op, args: Arrays) -> NDArray:
    x, w, b = _arg(args, 0), _arg(args, 1), _opt(args, 2)
    kh, kw, ci, co = w.shape
    view = _windows(x, (kh, kw), op)
    ho, wo = view.shape[:2]
    group = op.attrs["group"]
    if group == 1:
        columns = view.transpose(0, 1, 3, 4, 2).reshape(ho * wo, kh * kw * ci)
        y = columns @ w.reshape(-1, co)
    else:
        split = view.reshape(ho * wo, group, ci, kh * kw)
        weights = w.reshape(kh * kw, ci, group, co // group)
        y = np.einsum("pgck,kcgo->pgo", split, weights, optimize=True).reshape(ho * wo, co)
    return (y if b is None else y + b).reshape(ho, wo, co)


def _layernorm(op: Op, args: Arrays) -> NDArray:
    x, gamma, beta = _arg(args, 0), _opt(args, 1), _opt(args, 2)
    groups = op.attrs["groups"]
    wide = x.reshape(x.shape[0], groups, -1).astype(np.float64)
    wide -= wide.mean(2, keepdims=True)
    wide /= np.sqrt(np.mean(wide * wide, 2, keepdims=True) + op.attrs["eps"])
    y = wide.reshape(x.shape).astype(np.float32)
    if gamma is not None:
        y *= gamma
    if beta is not None:
        y += beta
    return y


def _attention(op: Op, args: Arrays) -> NDArray:
    q, k, v, bias = _arg(args, 0), _arg(args, 1), _arg(args, 2), _opt(args, 3)
    heads, windows = op.attrs["heads"], op.attrs.get("windows", 1)
    # [windows, heads, T, d]
    q, k, v = (x.reshape(windows, -1, heads, x.shape[1] // heads).swapaxes(1, 2) for x in (q, k, v))
    scores = q @ k.swapaxes(2, 3)
    scores *= np.float32(op.attrs["scale"])
    if bias is not None:
        per_window = bias.reshape(-1, min(len(bias), heads), *bias.shape[1:])
        scores = scores + per_window
    return (_softmax_rows(scores) @ v).swapaxes(1, 2).reshape(q.shape[0] * q.shape[2], -1)


def _softmax_rows(x: NDArray) -> NDArray:
    e = x - x.max(-1, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(-1, keepdims=True)
    return e


def _slice(op: Op, args: Arrays) -> NDArray:
    cut = slice(op.attrs["start"], op.attrs["stop"])
    return np.ascontiguousarray(
        _arg(args, 0)[cut] if op.attrs["axis"] == 0 else _arg(args, 0)[:, cut]
    )


def _pool(op: Op, args: Arrays) -> NDArray:
    largest = op.kind == "maxpool"
    x, kernel = _arg(args, 0), tuple(op.attrs["kernel"])
    view = _windows(x, kernel, op, -np.inf if largest else 0.0)
    if largest:
        return view.max((3, 4))
    inside = _windows(np.ones_like(x[..., :1]), kernel, op, 0.0).sum((3, 4))
    return (view.sum((3, 4), dtype=np.float64) / inside).astype(np.float32)


_CANONICAL: dict[str, Callable[[Op, Arrays], NDArray]] = {
    "linear": _linear, "conv2d": _conv2d, "layernorm": _layernorm, "attention": _attention,
    "unary": lambda op, a: function(UNARY, op.attrs["fn"])(_arg(a, 0)),
    "add": lambda op, a: _arg(a, 0) + _arg(a, 1), "mul": lambda op, a: _arg(a, 0) * _arg(a, 1),
    "concat": lambda op, a: np.concatenate([x for x in a if x is not None], op.attrs["axis"]),
    "slice": _slice,
    "gather": lambda op, a: _arg(a, 0)[list(op.attrs["indices"])],
    "reshape": lambda op, a: _arg(a, 0).reshape(op.attrs["shape"]),
    "mean": lambda op, a: _arg(a, 0).mean(0, keepdims=True, dtype=np.float64).astype(np.float32),
    "softmax": lambda op, a: _softmax_rows(_arg(a, 0)),
    "argmax": lambda op, a: _arg(a, 0).argmax(-1, keepdims=True).astype(np.float32),
    "maxpool": _pool, "avgpool": _pool,
}  # fmt: skip
