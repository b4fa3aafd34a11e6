"""add, mul, mean, unary, max-pooling and moves of the float graph -> their integer operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.graph import Op
from mcuformer.ir.types import DTYPES, QParams, TensorType
from mcuformer.quant.context import Context
from mcuformer.quant.epilogue import LIMIT, solve, zero_share
from mcuformer.quant.operands import channel_constant, constant_operand
from mcuformer.quant.tables import value_table

_MAX_SHIFT = 20


def reach(dtype: str) -> int:
    info = np.iinfo(DTYPES[dtype])
    return max(-info.min, info.max)


def _sum_constants(
    terms: list[tuple[QParams, int]],
    out: QParams,
    channels: int,
    where: str,
    constant: NDArray | float = 0.0,
) -> tuple[list[NDArray], NDArray, int]:
    """Multipliers per term and offset (C,) of sum(q * m) + offset >> shift; the sum fits int32.

    `constant`: a real term, () or (C,).
    """
    for shift in range(_MAX_SHIFT, 0, -1):
        exact = [np.broadcast_to(q.scale / out.scale * 2.0**shift, (channels,)) for q, _ in terms]
        mults = [np.rint(m) for m in exact]
        real = out.zero_point + constant / out.scale
        offset = np.broadcast_to(np.rint(real * 2.0**shift), (channels,)) + 2.0 ** (shift - 1)
        for (q, most), m in zip(terms, exact, strict=True):
            offset = offset - zero_share(q.zero_point, most, m)
        bound = np.abs(offset)
        for (_, most), m in zip(terms, mults, strict=True):
            bound = bound + most * np.abs(m)
        if bound.max() <= LIMIT:
            return [m.astype(np.int32) for m in mults], offset.astype(np.int32), shift
    raise OutOfRangeError(where, "the sum does not fit int32")


def _constant(ctx: Context, op: Op) -> tuple[str, QParams]:
    """A constant operand, which has rows of its own, as int16."""
    data = constant_operand(ctx.graph, op)
    assert data is not None
    scale = max(float(np.abs(data).max()), 1e-12) / 32767
    qparams = QParams(np.asarray(scale), np.asarray(0.0))
    return ctx.b.const(f"{op.name}.const", qparams.quantise(data, "int16")), qparams


def _operands(ctx: Context, op: Op) -> list[tuple[str, QParams, int]]:
    """(name, parameters, largest magnitude) of a and b.

    A constant comes second, and so does one number per row, which kernels take as b only.
    """
    found: list[tuple[str, QParams, int]] = []

    def order(name: str | None) -> tuple[bool, int]:
        return ctx.const(name) is not None, -ctx.graph.type(str(name)).shape[-1]

    for name in sorted(op.inputs, key=order):
        if ctx.const(name) is not None:
            const, qparams = _constant(ctx, op)
            found.append((const, qparams, 32768))
        else:
            found.append((str(name), ctx.qparams(str(name)), reach(ctx.dtype(str(name)))))
    return found


def _activation(ctx: Context, op: Op) -> str:
    """The operand that is no constant."""
    return next(str(n) for n in op.inputs if ctx.const(n) is None)


def lower_add(ctx: Context, op: Op) -> None:
    """Of a constant that all rows share, only the offsets are left."""
    shared = channel_constant(ctx.graph, op)
    if shared is not None:
        x = _activation(ctx, op)
        _emit_requant(ctx, op, x, ctx.int_type(x), shared)
        return
    y = op.outputs[0]
    (a, qa, ra), (b, qb, rb) = _operands(ctx, op)
    channels = ctx.graph.type(y).shape[-1]
    mults, offset, shift = _sum_constants([(qa, ra), (qb, rb)], ctx.qparams(y), channels, op.name)
    const = ctx.b.const
    names = [const(f"{op.name}.{s}", m) for s, m in zip(("ma", "mb"), mults, strict=True)]
    inputs: list[str | None] = [a, b, *names, const(f"{op.name}.offset", offset)]
    ctx.emit("q_add", op, inputs, {"shift": shift})


def emit_requant(ctx: Context, op: Op, source: str, type_: TensorType) -> None:
    """`source` of another scale -> the value that `op` writes."""
    _emit_requant(ctx, op.replace(name=f"{op.name}.requant"), source, type_, 0.0, op.name)


def _emit_requant(
    ctx: Context,
    op: Op,
    source: str,
    type_: TensorType,
    constant: NDArray | float,
    stem: str | None = None,
) -> None:
    """`source`, read as `type_` says, plus `constant`; `stem` of the names of what is stored."""
    assert type_.qparams is not None
    y, stem = op.outputs[0], stem or op.name
    (mult,), offset, shift = _sum_constants(
        [(type_.qparams, reach(type_.dtype))], ctx.qparams(y), type_.shape[-1], op.name, constant
    )
    const = ctx.b.const
    inputs: list[str | None] = [
        source,
        const(f"{stem}.ma", mult),
        const(f"{stem}.offset", offset),
    ]
    ctx.emit("q_requant", op, inputs, {"shift": shift})


def lower_requant(ctx: Context, op: Op) -> None:
    x = str(op.inputs[0])
    emit_requant(ctx, op, x, ctx.int_type(x))


def lower_mul(ctx: Context, op: Op) -> None:
    """By a constant that all rows share: x with another scale in every channel."""
    shared = channel_constant(ctx.graph, op)
    if shared is not None:
        x = _activation(ctx, op)
        t, q = ctx.int_type(x), ctx.qparams(x)
        scaled = QParams(q.scale * shared, np.broadcast_to(q.zero_point, shared.shape))
        _emit_requant(ctx, op, x, TensorType(t.shape, t.dtype, scaled), 0.0)
        return
    y = op.outputs[0]
    (a, qa, ra), (b, qb, rb) = _operands(ctx, op)
    za, zb = int(qa.zero_point), int(qb.zero_point)
    channels = ctx.graph.type(y).shape[-1]
    bound = np.full(channels, (ra + abs(za)) * (rb + abs(zb)), np.int64)
    _emit_scaled(ctx, op, "q_mul", [a, b], qa.scale * qb.scale, bound, {"a_zp": za, "b_zp": zb})


def lower_mean(ctx: Context, op: Op) -> None:
    x = str(op.inputs[0])
    rows, channels = ctx.graph.type(x).shape
    qparams = ctx.qparams(x)
    bias = np.broadcast_to(np.rint(-rows * qparams.zero_point), (channels,)).astype(np.int32)
    bound = np.abs(bias.astype(np.int64)) + rows * reach(ctx.dtype(x))
    inputs = [x, ctx.b.const(f"{op.name}.bias", bias)]
    _emit_scaled(ctx, op, "q_mean", inputs, qparams.scale / rows, bound, {})


def _emit_scaled(
    ctx: Context,
    op: Op,
    kind: str,
    inputs: list[str],
    acc_scale: NDArray,
    bound: NDArray,
    attrs: dict[str, Any],
) -> None:
    """An accumulator through mult, offset and shift."""
    qparams = ctx.qparams(op.outputs[0])
    scale, zero = (np.broadcast_to(p, bound.shape) for p in (qparams.scale, qparams.zero_point))
    end = solve(acc_scale, bound, scale, zero, wide=True, where=op.name)
    const = ctx.b.const
    names: list[str | None] = [
        *inputs,
        const(f"{op.name}.mult", end.mult),
        const(f"{op.name}.offset", end.offset),
    ]
    ctx.emit(kind, op, names, {**attrs, "shift": end.shift, "acc_shift": end.acc_shift})


def lower_unary(ctx: Context, op: Op) -> None:
    x, y = str(op.inputs[0]), op.outputs[0]
    table = value_table(op.attrs["fn"], ctx.qparams(x), ctx.dtype(x), ctx.qparams(y), ctx.dtype(y))
    ctx.emit("q_unary", op, [x, ctx.b.const(f"{op.name}.table", table)], {})


def lower_argmax(ctx: Context, op: Op) -> None:
    ctx.emit("q_argmax", op, [str(op.inputs[0])], {})


def lower_maxpool(ctx: Context, op: Op) -> None:
    attrs = {k: tuple(op.attrs[k]) for k in ("kernel", "strides", "pads")}
    ctx.emit("q_maxpool", op, list(op.inputs), attrs)


def lower_move(ctx: Context, op: Op) -> None:
    """concat, slice, gather, reshape; constants take the parameters of the class."""
    inputs: list[str | None] = []
    for name in op.inputs:
        data = ctx.const(name)
        if data is None:
            inputs.append(name)
        else:
            out = op.outputs[0]
            q = ctx.qparams(out).quantise(data, ctx.dtype(out))
            inputs.append(ctx.b.const(str(name), q))
    ctx.emit(op.kind, op, inputs, dict(op.attrs))
