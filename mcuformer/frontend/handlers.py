"""What each ONNX operator becomes: `HANDLERS`, one function per operator, views and constants in, a view out.

One that cannot go on raises Unsupported (frontend/views.py says which kind of it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce

import numpy as np

from mcuformer.frontend import (
    arithmetic,
    attention,
    attention_node,
    choices,
    convolutions,
    einsum,
    layers,
    matrices,
    pooling,
    reductions,
    statistics,
    transposed,
)
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.operands import Operands, activation, both, constant, file_scales, wanted
from mcuformer.frontend.views import OwnFault, Tensor, Unsupported, View
from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import axes_of, wrapped
from mcuformer.ir.onnx_ops.nn import per_channel

Handler = Callable[[Emitter, Op, Operands], Operand]


def _einsum(emit: Emitter, op: Op, args: Operands) -> Operand:
    given = [a for a in args if a is not None]
    return einsum.einsum(emit, op.attrs["equation"], given, matrices.product)


def _sub(emit: Emitter, op: Op, args: Operands) -> Operand:
    a, b = both(args)
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
    x = activation(args, 0)
    axis = wrapped(op.attrs.get("axis", -1), len(x.shape))
    eps = op.attrs.get("epsilon", 1e-5)
    centred = op.kind == "LayerNormalization"
    beta = constant(args, 2) if centred else None
    return layers.layernorm(emit, x, wanted(args, 1), beta, eps, axis, centred)


def _batchnorm(emit: Emitter, op: Op, args: Operands) -> Operand:
    if op.attrs.get("training_mode", 0):
        raise OwnFault(
            "looked for the statistics of training, found BatchNormalization in training mode: export "
            "for inference (model.eval())"
        )
    params = [wanted(args, i) for i in range(1, 5)]
    return layers.batchnorm(emit, activation(args, 0), params, op.attrs.get("epsilon", 1e-5))


def _instancenorm(emit: Emitter, op: Op, args: Operands) -> Operand:
    x, eps = activation(args, 0), op.attrs.get("epsilon", 1e-5)
    groups = x.shape[1] if op.kind == "InstanceNormalization" else int(op.attrs["num_groups"])
    gamma, beta = (per_channel(wanted(args, i), x.shape[1]) for i in (1, 2))
    return layers.channel_norm(emit, x, gamma, beta, groups, eps)


def _l2(emit: Emitter, op: Op, args: Operands) -> Operand:
    x, keepdims = activation(args, 0), bool(op.attrs.get("keepdims", 1))
    norm = statistics.l2(emit, x, _reduce_axes(op, args, len(x.shape)), keepdims)
    return norm if op.kind == "ReduceL2" else arithmetic.multiply(emit, norm, norm)


def _softmax(emit: Emitter, op: Op, args: Operands) -> Operand:
    return attention.softmax(emit, activation(args, 0), op.attrs.get("axis", -1))


def _conv(emit: Emitter, op: Op, args: Operands) -> Operand:
    scales = file_scales(emit, op, 1, 0)
    return convolutions.conv(
        emit, activation(args, 0), wanted(args, 1), constant(args, 2), op.attrs, scales
    )


def _conv_transpose(emit: Emitter, op: Op, args: Operands) -> Operand:
    group, scales = op.attrs.get("group", 1), file_scales(emit, op, 1, 1)
    scales = None if scales is None else np.tile(scales, group)
    x, w, b = activation(args, 0), wanted(args, 1), constant(args, 2)
    return transposed.conv_transpose(emit, x, w, b, op.attrs, scales)


def _col2im(emit: Emitter, op: Op, args: Operands) -> Operand:
    image, block = ([int(v) for v in wanted(args, i)] for i in (1, 2))
    return transposed.col2im(emit, activation(args, 0), op.attrs, image, block)


def _reduce_axes(op: Op, args: Operands, rank: int) -> list[int]:
    arrays = [None if isinstance(a, View) else a for a in args]
    axes = axes_of(op.attrs, arrays, 1)
    if not axes:
        return [] if op.attrs.get("noop_with_empty_axes", 0) else list(range(rank))
    return axes


def _reduce_mean(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = activation(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return reductions.mean(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _reduce_sum(emit: Emitter, op: Op, args: Operands) -> View:
    x = activation(args, 0)
    count = math.prod(x.shape[a] for a in _reduce_axes(op, args, len(x.shape)))
    mean = _reduce_mean(emit, op, args)
    assert isinstance(mean, View)
    return arithmetic.scaled(mean, count)


def _reduce_l1(emit: Emitter, op: Op, args: Operands) -> Operand:
    return _reduce_sum(emit, op, [arithmetic.unary(emit, activation(args, 0), "abs"), *args[1:]])


def _log_sum(emit: Emitter, op: Op, args: Operands) -> Operand:
    return arithmetic.unary(emit, _reduce_sum(emit, op, args), "log")


def _log_sum_exp(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = activation(args, 0)
    axes, keepdims = _reduce_axes(op, args, len(x.shape)), bool(op.attrs.get("keepdims", 1))
    return reductions.log_sum_exp(emit, x, axes, keepdims)


def _extreme(emit: Emitter, op: Op, args: Operands) -> Operand:
    """The largest of several; the least is the largest of -x."""
    sign = 1.0 if op.kind == "Max" else -1.0
    parts = [arithmetic.times(a, sign) for a in args if a is not None]
    return arithmetic.times(reduce(partial(arithmetic.larger, emit), parts), sign)


def _global_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = activation(args, 0)
    return reductions.mean(emit, x, range(2, len(x.shape)), True)


def _max_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    if emit.is_read(op.outputs[1:]):
        raise OwnFault(
            "looked for the largest alone, found a reader of the indices of the largest: ArgMax gives some"
        )
    return pooling.pool(emit, "maxpool", activation(args, 0), op.attrs)


def _global_max_pool(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = activation(args, 0)
    return pooling.pool(emit, "maxpool", x, {"kernel_shape": x.shape[2:]})


def _reduce_max(emit: Emitter, op: Op, args: Operands) -> Operand:
    x = activation(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return reductions.largest(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _reduce_min(emit: Emitter, op: Op, args: Operands) -> Operand:
    least = _reduce_max(emit, op, [arithmetic.scaled(activation(args, 0), -1.0), *args[1:]])
    assert isinstance(least, View)
    return arithmetic.scaled(least, -1.0)


def _prelu(emit: Emitter, op: Op, args: Operands) -> Operand:
    """A slope per channel: slope*x + (1 - slope)*relu(x)."""
    x, slope = activation(args, 0), wanted(args, 1)
    above = arithmetic.multiply(emit, arithmetic.unary(emit, x, "relu"), 1.0 - slope)
    return arithmetic.add(emit, arithmetic.multiply(emit, x, slope), above)


def _unary(emit: Emitter, op: Op, args: Operands) -> Operand:
    """Bounds that bound nothing are no function."""
    x, fn = activation(args, 0), op.attrs["fn"]
    unbound = clamp_bounds(fn) == (-math.inf, math.inf)
    return x if unbound else arithmetic.unary(emit, x, fn)


def _argmax(emit: Emitter, op: Op, args: Operands) -> Operand:
    if op.attrs.get("select_last_index", 0):
        raise OwnFault(
            "looked for the first of equals, found the last of equals (select_last_index=1)"
        )
    axis, keepdims = op.attrs.get("axis", 0), bool(op.attrs.get("keepdims", 1))
    x = activation(args, 0)
    x = x if op.kind == "ArgMax" else arithmetic.scaled(x, -1.0)
    return reductions.argmax(emit, x, axis, keepdims)


def _dropout(emit: Emitter, op: Op, args: Operands) -> Operand:
    training = constant(args, 2)
    if training is not None and training.any():
        raise OwnFault("Dropout in training mode: export for inference (model.eval())")
    return activation(args, 0)


def _cast(emit: Emitter, op: Op, args: Operands) -> Operand:
    """Between floats nothing happens; an index is an integer already."""
    base = activation(args, 0).base
    if isinstance(base, Tensor) and emit.writes(base.name, "argmax"):
        return activation(args, 0)
    if not str(op.attrs["to"]).startswith("float"):
        raise Unsupported(
            f"looked for a conversion between floats, found one to {op.attrs['to']}: only an ArgMax is "
            "an integer on the device"
        )
    return activation(args, 0)


HANDLERS: Mapping[str, Handler] = {
    "MatMul": matrices.matmul, "Einsum": _einsum, "Attention": attention_node.attention_of,
    "RotaryEmbedding": attention_node.rotary,
    "Gemm": matrices.gemm, "Conv": _conv, "ConvTranspose": _conv_transpose, "Col2Im": _col2im,
    "LayerNormalization": _layernorm,
    "RMSNormalization": _layernorm, "SimplifiedLayerNormalization": _layernorm,
    "BatchNormalization": _batchnorm, "Softmax": _softmax,
    "Add": lambda e, op, args: arithmetic.add(e, *both(args)), "Sub": _sub, "Sum": _sum,
    "Mul": lambda e, op, args: arithmetic.multiply(e, *both(args)),
    "Div": lambda e, op, args: arithmetic.divide(e, *both(args)),
    "Pow": lambda e, op, args: arithmetic.power(e, *both(args)),
    "Neg": lambda e, op, args: arithmetic.scaled(activation(args, 0), -1.0),
    "Unary": _unary,
    "InstanceNormalization": _instancenorm, "GroupNormalization": _instancenorm,
    "ReduceL2": _l2, "ReduceSumSquare": _l2,
    "RootMeanSquare": lambda e, op, a: statistics.root_mean_square(e, activation(a, 0), op.attrs),
    "LpNormalization": lambda e, op, args: statistics.of_another_norm(op.attrs),
    "Sqrt": lambda e, op, args: statistics.power(e, activation(args, 0), 0.5),
    "Reciprocal": lambda e, op, args: statistics.power(e, activation(args, 0), -1.0),
    "Max": _extreme, "Min": _extreme,
    "Mean": lambda e, op, a: arithmetic.multiply(e, _sum(e, op, a), np.asarray(1.0 / len(a))),
    "ReduceL1": _reduce_l1,
    "ReduceLogSum": _log_sum, "ReduceLogSumExp": _log_sum_exp,
    "ReduceMean": _reduce_mean, "ReduceSum": _reduce_sum, "GlobalAveragePool": _global_pool,
    "AveragePool": lambda e, op, args: pooling.pool(e, "avgpool", activation(args, 0), op.attrs),
    "MaxPool": _max_pool, "GlobalMaxPool": _global_max_pool, "ReduceMax": _reduce_max, "ReduceMin": _reduce_min,
    "Trilu": lambda e, op, args: choices.trilu(
        e, activation(args, 0), constant(args, 1), bool(op.attrs.get("upper", 1))),
    "PRelu": _prelu, "Cast": _cast, "ArgMax": _argmax,
    "Where": lambda e, op, args: choices.where(e, wanted(args, 0), *both(args[1:])),
    "IsNaN": lambda e, op, args: choices.is_nan(activation(args, 0)),
    "ArgMin": _argmax, "LogSoftmax": lambda e, op, args: reductions.log_softmax(
        e, activation(args, 0), op.attrs.get("axis", -1)),
    "Identity": lambda e, op, args: activation(args, 0),
    "Dropout": _dropout,
}  # fmt: skip
