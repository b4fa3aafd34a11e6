"""What each ONNX operator becomes: `HANDLERS`, one function per operator, views and constants in, a view out.

One that cannot go on raises Unsupported (frontend/views.py says which kind of it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import (
    arithmetic,
    attention,
    attention_node,
    choices,
    einsum,
    layers,
    reductions,
    statistics,
)
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Tensor, Unsupported, View
from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import axes_of, wrapped
from mcuformer.ir.onnx_ops.nn import per_channel

Operands = Sequence[Operand | None]
Handler = Callable[[Emitter, Op, Operands], Operand]


def _file_scales(emit: Emitter, op: Op, i: int, axis: int) -> NDArray | None:
    """Per output channel (`axis` of the weight), the scales that a QDQ file gives input `i`."""
    table = emit.graph.meta.get("qdq_weights", {})
    name = op.inputs[i]
    if name not in table or name is None:
        return None
    scale, along = table[name]
    shape = emit.graph.type(name).shape
    if along is None:
        return np.full(shape[axis], float(scale[0]))
    return np.asarray(scale) if along == axis % len(shape) else None


def _view(args: Operands, i: int) -> View:
    if i >= len(args) or not isinstance(args[i], View):
        raise Unsupported(
            f"looked for an activation, found a constant as input {i}: fold it (onnxslim)"
        )
    value = args[i]
    assert isinstance(value, View)
    return value


def _const(args: Operands, i: int) -> NDArray | None:
    value = args[i] if i < len(args) else None
    if isinstance(value, View):
        raise Unsupported(
            f"looked for a constant as input {i}, found one that depends on the model's input"
        )
    return value


def _wanted(args: Operands, i: int) -> NDArray:
    value = _const(args, i)
    if value is None:
        raise OwnFault(f"malformed: input {i} is missing")
    return value


def _both(args: Operands) -> tuple[Operand, Operand]:
    a, b = args
    assert a is not None and b is not None
    return a, b


def _matmul(emit: Emitter, op: Op, args: Operands) -> Operand:
    a, b = _both(args)
    left = isinstance(a, np.ndarray)
    if isinstance(a, View) and isinstance(b, View):
        return attention.product(emit, a, b)
    scales = _file_scales(emit, op, 0 if left else 1, -2 if left else -1)
    return _product(emit, a, b, scales)


def _product(emit: Emitter, a: Operand, b: Operand, scales: NDArray | None = None) -> Operand:
    """MatMul of anything; `scales` per output channel of a constant operand."""
    if isinstance(a, View) and isinstance(b, View):
        return attention.product(emit, a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.asarray(a @ b)
    if isinstance(a, np.ndarray) and isinstance(b, View) and math.prod(a.shape[:-2]) > 1:
        return attention.constant_query(emit, a, b)
    if isinstance(a, View) and isinstance(b, np.ndarray) and math.prod(b.shape[:-2]) > 1:
        return _turned(attention.constant_query(emit, np.swapaxes(b, -1, -2), _turned(a)))
    return layers.matmul(emit, a, b, scales)


def _einsum(emit: Emitter, op: Op, args: Operands) -> Operand:
    given = [a for a in args if a is not None]
    return einsum.einsum(emit, op.attrs["equation"], given, _product)


def _turned(x: View) -> View:
    return x.with_index(np.swapaxes(x.index, -1, -2))


def _gemm(emit: Emitter, op: Op, args: Operands) -> Operand:
    c = args[2] if len(args) > 2 else None
    scales = _file_scales(emit, op, 1, -2 if op.attrs.get("transB", 0) else -1)
    return layers.gemm(emit, _view(args, 0), _wanted(args, 1), c, op.attrs, scales)


def _sub(emit: Emitter, op: Op, args: Operands) -> Operand:
    a, b = _both(args)
    minus_b = arithmetic.scaled(b, -1.0) if isinstance(b, View) else np.asarray(-b)
    return arithmetic.add(emit, a, minus_b)


def _sum(emit: Emitter, op: Op, args: Operands) -> Operand:
    total, *rest = (a for a in args if a is not None)
    for term in rest:
        if isinstance(total, np.ndarray) and isinstance(term, np.ndarray):
            total = np.asarray(total + term)
        else:
            total = arithmetic.add(emit, total, term)
    return total


def _layernorm(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    axis = wrapped(op.attrs.get("axis", -1), len(x.shape))
    eps = op.attrs.get("epsilon", 1e-5)
    centred = op.kind == "LayerNormalization"
    beta = _const(args, 2) if centred else None
    return layers.layernorm(emit, x, _wanted(args, 1), beta, eps, axis, centred)


def _batchnorm(emit: Emitter, op: Op, args: Operands) -> Operand:
    if op.attrs.get("training_mode", 0):
        raise OwnFault(
            "looked for the statistics of training, found BatchNormalization in training mode: export "
            "for inference (model.eval())"
        )
    params = [_wanted(args, i) for i in range(1, 5)]
    return layers.batchnorm(emit, _view(args, 0), params, op.attrs.get("epsilon", 1e-5))


def _instancenorm(emit: Emitter, op: Op, args: Operands) -> Operand:
    x, eps = _view(args, 0), op.attrs.get("epsilon", 1e-5)
    groups = x.shape[1] if op.kind == "InstanceNormalization" else int(op.attrs["num_groups"])
    gamma, beta = (per_channel(_wanted(args, i), x.shape[1]) for i in (1, 2))
    return layers.channel_norm(emit, x, gamma, beta, groups, eps)


def _l2(emit: Emitter, op: Op, args: Operands) -> Operand:
    """Of n numbers: sqrt(n) times the root of their mean square; its square."""
    x, keepdims = _view(args, 0), bool(op.attrs.get("keepdims", 1))
    axes = _reduce_axes(op, args, len(x.shape))
    count = math.prod(x.shape[a] for a in axes)
    root = statistics.rms(emit, x, axes, keepdims)
    if op.kind == "ReduceL2":
        return arithmetic.scaled(root, math.sqrt(count))
    square = arithmetic.multiply(emit, root, root)
    return arithmetic.scaled(square, count)


def _rms(emit: Emitter, op: Op, args: Operands) -> Operand:
    eps, centred = op.attrs["epsilon"], op.attrs["centred"]
    return statistics.rms(emit, _view(args, 0), op.attrs["axes"], True, eps, centred)


def _softmax(emit: Emitter, op: Op, args: Operands) -> Operand:
    return attention.softmax(emit, _view(args, 0), op.attrs.get("axis", -1))


def _conv(emit: Emitter, op: Op, args: Operands) -> Operand:
    scales = _file_scales(emit, op, 1, 0)
    return layers.conv(emit, _view(args, 0), _wanted(args, 1), _const(args, 2), op.attrs, scales)


def _reduce_axes(op: Op, args: Operands, rank: int) -> list[int]:
    arrays = [None if isinstance(a, View) else a for a in args]
    axes = axes_of(op.attrs, arrays, 1)
    if not axes:
        return [] if op.attrs.get("noop_with_empty_axes", 0) else list(range(rank))
    return axes


def _reduce_mean(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return reductions.mean(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _reduce_sum(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    count = math.prod(x.shape[a] for a in _reduce_axes(op, args, len(x.shape)))
    mean = _reduce_mean(emit, op, args)
    assert isinstance(mean, View)
    return arithmetic.scaled(mean, count)


def _global_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    return reductions.mean(emit, x, range(2, len(x.shape)), True)


def _max_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    if emit.is_read(op.outputs[1:]):
        raise OwnFault(
            "looked for the largest alone, found a reader of the indices of the largest: ArgMax gives some"
        )
    return reductions.pool(emit, "maxpool", _view(args, 0), op.attrs)


def _global_max_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    return reductions.pool(emit, "maxpool", x, {"kernel_shape": x.shape[2:]})


def _reduce_max(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = _view(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return reductions.largest(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _prelu(emit: Emitter, op: Op, args: Operands) -> Operand:
    """A slope per channel: slope*x + (1 - slope)*relu(x)."""
    x, slope = _view(args, 0), _wanted(args, 1)
    above = arithmetic.multiply(emit, arithmetic.unary(emit, x, "relu"), 1.0 - slope)
    return arithmetic.add(emit, arithmetic.multiply(emit, x, slope), above)


def _unary(emit: Emitter, op: Op, args: Operands) -> Operand:
    """Bounds that bound nothing are no function."""
    x, fn = _view(args, 0), op.attrs["fn"]
    unbound = clamp_bounds(fn) == (-math.inf, math.inf)
    return x if unbound else arithmetic.unary(emit, x, fn)


def _argmax(emit: Emitter, op: Op, args: Operands) -> Operand:
    if op.attrs.get("select_last_index", 0):
        raise OwnFault(
            "looked for the first of equals, found the last of equals (select_last_index=1)"
        )
    axis, keepdims = op.attrs.get("axis", 0), bool(op.attrs.get("keepdims", 1))
    return reductions.argmax(emit, _view(args, 0), axis, keepdims)


def _dropout(emit: Emitter, op: Op, args: Operands) -> Operand:
    training = _const(args, 2)
    if training is not None and training.any():
        raise OwnFault("Dropout in training mode: export for inference (model.eval())")
    return _view(args, 0)


def _cast(emit: Emitter, op: Op, args: Operands) -> Operand:
    """Between floats nothing happens; an index is an integer already."""
    base = _view(args, 0).base
    if isinstance(base, Tensor) and emit.writes(base.name, "argmax"):
        return _view(args, 0)
    if not str(op.attrs["to"]).startswith("float"):
        raise Unsupported(
            f"looked for a conversion between floats, found one to {op.attrs['to']}: only an ArgMax is "
            "an integer on the device"
        )
    return _view(args, 0)


HANDLERS: Mapping[str, Handler] = {
    "MatMul": _matmul, "Einsum": _einsum, "Attention": attention_node.attention_of,
    "RotaryEmbedding": attention_node.rotary,
    "Gemm": _gemm, "Conv": _conv, "LayerNormalization": _layernorm,
    "RMSNormalization": _layernorm, "SimplifiedLayerNormalization": _layernorm,
    "BatchNormalization": _batchnorm, "Softmax": _softmax,
    "Add": lambda e, op, args: arithmetic.add(e, *_both(args)), "Sub": _sub, "Sum": _sum,
    "Mul": lambda e, op, args: arithmetic.multiply(e, *_both(args)),
    "Div": lambda e, op, args: arithmetic.divide(e, *_both(args)),
    "Pow": lambda e, op, args: arithmetic.power(e, *_both(args)),
    "Neg": lambda e, op, args: arithmetic.scaled(_view(args, 0), -1.0),
    "Unary": _unary,
    "InstanceNormalization": _instancenorm, "GroupNormalization": _instancenorm,
    "ReduceL2": _l2, "ReduceSumSquare": _l2, "RootMeanSquare": _rms,
    "Sqrt": lambda e, op, args: statistics.power(e, _view(args, 0), 0.5),
    "Reciprocal": lambda e, op, args: statistics.power(e, _view(args, 0), -1.0),
    "ReduceMean": _reduce_mean, "ReduceSum": _reduce_sum, "GlobalAveragePool": _global_pool,
    "AveragePool": lambda e, op, args: reductions.pool(e, "avgpool", _view(args, 0), op.attrs),
    "MaxPool": _max_pool, "GlobalMaxPool": _global_max_pool, "ReduceMax": _reduce_max,
    "PRelu": _prelu, "Cast": _cast, "ArgMax": _argmax,
    "Where": lambda e, op, args: choices.where(e, _wanted(args, 0), *_both(args[1:])),
    "IsNaN": lambda e, op, args: choices.is_nan(_view(args, 0)),
    "Identity": lambda e, op, args: _view(args, 0),
    "Dropout": _dropout,
}  # fmt: skip
