"""add, mul, mean, unary, max-pooling and moves of the float graph -> their integer operators."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError, UnsupportedModelError
from mcuformer.ir.epilogue import LIMIT, solve, zero_share
from mcuformer.ir.graph import Op
from mcuformer.ir.types import LIMITS, QParams, TensorType
from mcuformer.kernels.elementwise import ADD_SHIFT, MUL_SHIFT, MUL_UP, fits_gate
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.quant.context import Context
from mcuformer.quant.operands import channel_constant, constant_operand
from mcuformer.quant.tables import value_table, value_table_type

_MAX_SHIFT = 20
INT16_MAX = 32767
MASKED = -128.0  # added to scores that a mask hides (frontend/products.py)
MOST_APART = 116.0  # exp(116 - 128) is half a step of the 16 bits of a share


def reach(dtype: str) -> int:
    least, most = LIMITS[dtype]
    return max(-least, most)


def _sum_constants(
    terms: list[tuple[QParams, int]],
    out: QParams,
    channels: int,
    where: str,
    constant: NDArray | float = 0.0,
    narrow: bool = False,
) -> tuple[list[NDArray], NDArray, int]:
    """Multipliers per term and offset (C,) of sum(q * m) + offset >> shift; the sum fits int32.

    `constant`: a real term, () or (C,). `narrow`: with multipliers of 16 bits and the shift that the
    loop for bytes has, unless a term is so coarse beside the sum that they do not fit.
    """
    for shift in (*((ADD_SHIFT,) if narrow else ()), *range(_MAX_SHIFT, 0, -1)):
        exact = [np.broadcast_to(q.scale / out.scale * 2.0**shift, (channels,)) for q, _ in terms]
        mults = [np.rint(m) for m in exact]
        real = out.zero_point + constant / out.scale
        offset = np.broadcast_to(np.rint(real * 2.0**shift), (channels,)) + 2.0 ** (shift - 1)
        for (q, most), m in zip(terms, exact, strict=True):
            offset = offset - zero_share(q.zero_point, most, m)
        bound = np.abs(offset)
        for (_, most), m in zip(terms, mults, strict=True):
            bound = bound + most * np.abs(m)
        most_mult = max(np.abs(m).max() for m in mults)
        if bound.max() <= LIMIT and not (narrow and shift == ADD_SHIFT and most_mult > INT16_MAX):
            return [m.astype(np.int32) for m in mults], offset.astype(np.int32), shift
    raise OutOfRangeError(where, "the sum does not fit int32")


def operands(ctx: Context, op: Op) -> list[str]:
    """a and b: a constant comes second, and so does one number per row, which kernels take as b only,
    and one row for all, which they are fast with as b."""

    def order(name: str) -> tuple[bool, int, int]:
        shape = ctx.shape(name)
        return ctx.const(name) is not None, -shape[-1], -prod(shape)

    return sorted(map(str, op.inputs), key=order)


def stored(ctx: Context, op: Op, names: list[str]) -> list[str | Const]:
    """The operands as kernels read them: a constant has rows of its own, in int16."""
    const = Const(f"{op.name}.const", "int16", ctx.shape(op.outputs[0]))
    return [n if ctx.const(n) is None else const for n in names]


def terms_of(
    ctx: Context, op: Op, names: list[str]
) -> tuple[list[tuple[QParams, int]], dict[str, NDArray | None]]:
    """(parameters, largest magnitude) of every operand, and the data of a constant one."""
    found: list[tuple[QParams, int]] = []
    arrays: dict[str, NDArray | None] = {}
    for name in names:
        if ctx.const(name) is None:
            found.append((ctx.qparams(name), reach(ctx.dtype(name))))
            continue
        data = constant_operand(ctx.graph, op)
        assert data is not None
        scale = max(float(np.abs(data).max()), 1e-12) / 32767
        qparams = QParams(np.asarray(scale), np.asarray(0.0))
        arrays[f"{op.name}.const"] = qparams.quantise(data, "int16")
        found.append((qparams, 32768))
    return found, arrays


def activation(ctx: Context, op: Op) -> str:
    """The operand that is no constant."""
    return next(str(n) for n in op.inputs if ctx.const(n) is None)


def per_channel(op: Op, channels: int, *suffixes: str) -> list[Const]:
    return [Const(f"{op.name}.{s}", "int32", (channels,)) for s in suffixes]


def lower_add(ctx: Context, op: Op) -> None:
    """Of a constant that all rows share, only the offsets are left."""
    shared = channel_constant(ctx.graph, op)
    if shared is not None:
        x = activation(ctx, op)
        _emit_requant(ctx, op, x, ctx.int_type(x), shared)
        return
    names, y = operands(ctx, op), op.outputs[0]
    channels = ctx.shape(y)[-1]

    def numbers() -> Numbers:
        _check_mask(ctx, op)
        terms, arrays = terms_of(ctx, op, names)
        narrow = _narrow(ctx, names, y)
        mults, offset, shift = _sum_constants(
            terms, ctx.qparams(y), channels, op.name, narrow=narrow
        )
        for suffix, data in zip(("ma", "mb", "offset"), (*mults, offset), strict=True):
            arrays[f"{op.name}.{suffix}"] = data
        return {"shift": shift}, arrays

    consts = per_channel(op, channels, "ma", "mb", "offset")
    ctx.emit("q_add", op, [*stored(ctx, op, names), *consts], {}, numbers)


def _check_mask(ctx: Context, op: Op) -> None:
    """A mask hides what lies no further above the numbers that count than it goes down."""
    if not op.attrs.get("masks"):
        return
    stats = ctx.stats.values[activation(ctx, op)]
    apart = float(stats.high.max() - stats.low.min())
    if apart > MOST_APART:
        raise UnsupportedModelError(
            f"{op.name}: its scores are {apart:.0f} apart; a mask is {MASKED:.0f} here, which hides only keys that "
            f"score less than {MOST_APART:.0f} above those that count",
            "scores so far apart give one key all the weight: look for a scale that is missing before the mask",
        )


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
    y, channels = op.outputs[0], type_.shape[-1]
    ma, offset = (f"{stem or op.name}.{suffix}" for suffix in ("ma", "offset"))

    def numbers() -> Numbers:
        assert type_.qparams is not None
        terms = [(type_.qparams, reach(type_.dtype))]
        (mult,), moved, shift = _sum_constants(terms, ctx.qparams(y), channels, op.name, constant)
        return {"shift": shift}, {ma: mult, offset: moved}

    consts = [Const(name, "int32", (channels,)) for name in (ma, offset)]
    ctx.emit("q_requant", op, [source, *consts], {}, numbers)


def lower_requant(ctx: Context, op: Op) -> None:
    x = str(op.inputs[0])
    emit_requant(ctx, op, x, ctx.int_type(x))


def lower_mul(ctx: Context, op: Op) -> None:
    """By a constant that all rows share: x with another scale in every channel."""
    shared = channel_constant(ctx.graph, op)
    if shared is not None:
        x = activation(ctx, op)
        t = ctx.raw_type(x, ctx.dtype(x), lambda: _rescaled(ctx.qparams(x), shared))
        _emit_requant(ctx, op, x, t, 0.0)
        return
    names = operands(ctx, op)
    channels = ctx.shape(op.outputs[0])[-1]

    def numbers() -> Numbers:
        ((qa, ra), (qb, rb)), arrays = terms_of(ctx, op, names)
        za, zb = (
            int(np.ravel(q.zero_point)[0]) for q in (qa, qb)
        )  # channels share them (policy.py)
        scale = qa.scale * qb.scale
        found = _narrow_product(ctx, op, scale) if _narrow(ctx, names, op.outputs[0]) else None
        bound = np.full(channels, (ra + abs(za)) * (rb + abs(zb)), np.int64)
        attrs, more = found or _scaled(ctx, op, scale, bound)
        return {"a_zp": za, "b_zp": zb, **attrs}, {**arrays, **more}

    consts = per_channel(op, channels, "mult", "offset")
    ctx.emit("q_mul", op, [*stored(ctx, op, names), *consts], {}, numbers)


def _narrow(ctx: Context, names: list[str], y: str) -> bool:
    """Whether all is bytes, and b no single number per row: what kernels/elementwise.py has loops for."""
    column = ctx.shape(names[1])[-1] == 1 < ctx.shape(y)[-1]
    bytes_only = all(ctx.const(n) is None and ctx.dtype(n) == "int8" for n in (*names, y))
    return bytes_only and not column


def _narrow_product(ctx: Context, op: Op, scale: NDArray) -> Numbers | None:
    """Constants with the shifts of those loops; None where the product is too coarse beside y for them."""
    out, channels = ctx.qparams(op.outputs[0]), ctx.shape(op.outputs[0])[-1]
    ratio = np.broadcast_to(scale / out.scale, (channels,))
    mult = 2 * np.rint(ratio * 2.0 ** (31 + MUL_SHIFT - MUL_UP))
    offset = np.broadcast_to(np.rint(out.zero_point * 2.0**MUL_SHIFT), (channels,))
    offset = offset + 2.0 ** (MUL_SHIFT - 1)
    most = (255 * 255 * 2.0**MUL_UP) * mult / 2.0**32 + np.abs(offset) + 1
    if not fits_gate(mult) or most.max() > LIMIT:
        return None
    arrays = {f"{op.name}.mult": mult, f"{op.name}.offset": offset}
    return {"shift": MUL_SHIFT, "acc_shift": MUL_UP}, {
        name: values.astype(np.int32) for name, values in arrays.items()
    }


def _rescaled(q: QParams, factor: NDArray) -> QParams:
    return QParams(q.scale * factor, np.broadcast_to(q.zero_point, factor.shape))


def lower_mean(ctx: Context, op: Op) -> None:
    x = str(op.inputs[0])
    rows, channels = ctx.shape(x)

    def numbers() -> Numbers:
        qparams = ctx.qparams(x)
        zero = np.broadcast_to(np.rint(-rows * qparams.zero_point), (channels,))
        bias = zero.astype(np.int32)
        bound = np.abs(bias.astype(np.int64)) + rows * reach(ctx.dtype(x))
        attrs, more = _scaled(ctx, op, qparams.scale / rows, bound)
        return attrs, {f"{op.name}.bias": bias, **more}

    ctx.emit("q_mean", op, [x, *per_channel(op, channels, "bias", "mult", "offset")], {}, numbers)


def _scaled(ctx: Context, op: Op, acc_scale: NDArray, bound: NDArray) -> Numbers:
    """An accumulator through mult, offset and shift."""
    qparams = ctx.qparams(op.outputs[0])
    scale, zero = (np.broadcast_to(p, bound.shape) for p in (qparams.scale, qparams.zero_point))
    dtype = ctx.dtype(op.outputs[0])
    end = solve(acc_scale, bound, scale, zero, wide=True, where=op.name, dtype=dtype)
    arrays = {f"{op.name}.mult": end.mult, f"{op.name}.offset": end.offset}
    return {"shift": end.shift, "acc_shift": end.acc_shift}, arrays


def lower_unary(ctx: Context, op: Op) -> None:
    x, y = str(op.inputs[0]), op.outputs[0]
    dtype, name = ctx.dtype(x), f"{op.name}.table"

    def numbers() -> Numbers:
        table = value_table(op.attrs["fn"], ctx.qparams(x), dtype, ctx.qparams(y), ctx.dtype(y))
        return {}, {name: table}

    stored, entries = value_table_type(dtype, ctx.dtype(y))
    table = Const(name, stored, (entries,))
    ctx.emit("q_unary", op, [x, table], {}, numbers)


def lower_argmax(ctx: Context, op: Op) -> None:
    ctx.emit("q_argmax", op, [str(op.inputs[0])], {})


def lower_maxpool(ctx: Context, op: Op) -> None:
    attrs = {k: tuple(op.attrs[k]) for k in ("kernel", "strides", "pads")}
    ctx.emit("q_maxpool", op, list(op.inputs), attrs)


def lower_move(ctx: Context, op: Op) -> None:
    """concat, slice, gather, reshape; constants take the parameters of the class."""
    out = op.outputs[0]
    dtype, names = ctx.dtype(out), [str(n) for n in op.inputs]
    constant = [n for n in names if ctx.const(n) is not None]

    def numbers() -> Numbers:
        qparams = ctx.qparams(out)
        data = ((n, ctx.const(n)) for n in constant)
        return {}, {n: qparams.quantise(d, dtype) for n, d in data if d is not None}

    operands = [Const(n, dtype, ctx.shape(n)) if n in constant else n for n in names]
    ctx.emit(op.kind, op, operands, dict(op.attrs), numbers)
