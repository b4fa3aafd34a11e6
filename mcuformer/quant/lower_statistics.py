"""groupnorm -> q_groupstats and q_groupnorm; rms -> q_rms; power -> q_power: mantissas and exponents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_group import WORDS
from mcuformer.ir.types import QParams, TensorType
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.quant.class_grids import group_size
from mcuformer.quant.context import Context
from mcuformer.quant.lower_norm import (
    Centred,
    Flatness,
    affine,
    centred_input,
    flatness,
    flatness_of,
    scalar_of,
)

_FLATTER = 4.0  # the flattest group of one sample, beside the same group of all sampled rows
_NEXT = 2.0  # the flattest group to come, beside the flattest that was seen


def lower_groupnorm(ctx: Context, op: Op) -> None:
    """Two operations: a multiplier and an offset for each group, then row by row as q_layernorm with g."""
    x, channels = str(op.inputs[0]), ctx.shape(op.inputs[0])[-1:]
    name, size = f"{op.name}.stats", group_size(ctx.graph, op)
    shared: dict[str, Any] = {"groups": int(op.attrs["groups"])}
    summed = shared | {"halve": _halve(size)} | _centred(op)

    @cache
    def solved() -> tuple[Centred, Mapping[str, Any], Sequence[np.ndarray]]:
        centred = centred_input(ctx, x)
        attrs, g, b = affine(ctx, op, op.outputs[0], size, _flattest(ctx, op) / centred.unit)
        return centred, attrs, (g, b)

    def statistics() -> Numbers:
        centred, attrs, _ = solved()
        found = {"gain": attrs["gain"], "gain_exp": attrs["gain_exp"] + _halve(size)}
        found["eps_q"] = _eps(op, size, centred)
        return found | _scalar(centred), _pre(name, centred)

    def normalised() -> Numbers:
        centred, attrs, (g, b) = solved()
        arrays = {**_pre(op.name, centred), f"{op.name}.g": g, f"{op.name}.b": b}
        return {"frac2": attrs["frac2"]} | _scalar(centred), arrays

    words = ctx.raw_type(x, "int16", lambda: QParams(np.asarray(1.0), np.asarray(0.0)))
    type_ = TensorType((1, WORDS * shared["groups"]), words.dtype, words.qparams)
    ctx.emit(
        "q_groupstats", op.replace(name=name), [x, *_pre_consts(ctx, name, x)],
        summed, statistics, _usual(ctx, x), name, type_,
    )  # fmt: skip
    consts = [Const(f"{op.name}.g", "int16", channels), Const(f"{op.name}.b", "int32", channels)]
    operands = [x, name, *_pre_consts(ctx, op.name, x), *consts]
    ctx.emit("q_groupnorm", op, operands, shared, normalised, _usual(ctx, x))


def lower_rms(ctx: Context, op: Op) -> None:
    x, y = str(op.inputs[0]), op.outputs[0]
    size = group_size(ctx.graph, op)
    attrs = {"groups": int(op.attrs["groups"]), "halve": _halve(size)} | _centred(op)

    def numbers() -> Numbers:
        centred, result = centred_input(ctx, x), ctx.qparams(y)
        found = _mantissa(centred.unit * 2.0 ** _halve(size) / (size * float(result.scale)))
        found |= {"eps_q": _eps(op, size, centred), "zp": round(float(result.zero_point))}
        return found | _scalar(centred), _pre(op.name, centred)

    ctx.emit("q_rms", op, [x, *_pre_consts(ctx, op.name, x)], attrs, numbers, _usual(ctx, x))


def lower_power(ctx: Context, op: Op) -> None:
    x, y, exponent = str(op.inputs[0]), op.outputs[0], float(op.attrs["exponent"])

    def numbers() -> Numbers:
        source, result = ctx.qparams(x), ctx.qparams(y)
        step = float(source.scale) ** exponent / float(result.scale)
        found = _mantissa(step * 2.0 ** -_mantissa_bits(exponent))
        zeros = {"x_zp": round(float(source.zero_point)), "zp": round(float(result.zero_point))}
        return found | zeros, {}

    ctx.emit("q_power", op, [x], {"halves": round(2 * exponent)}, numbers)


def _mantissa_bits(exponent: float) -> int:
    """Of q_power's mantissas, below 1."""
    return {-1.0: 15, -0.5: 31, 0.5: 0}[exponent]


def _mantissa(real: float) -> dict[str, int]:
    """`real` as gain * 2^-gain_exp, gain in 2^14 .. 2^15 - 1."""
    exponent = math.floor(math.log2(real)) - 14
    return {"gain": min(round(real * 2.0**-exponent), 32767), "gain_exp": -exponent}


def _halve(size: int) -> int:
    """Bits that a sum of `size` numbers of 16 bits loses, so that size^2 times the variance has 62."""
    return max(0, (size - 1).bit_length() - 16)


def _eps(op: Op, size: int, centred: Centred) -> int:
    eps = round(op.attrs["eps"] * size**2 / centred.unit**2 / 4.0 ** _halve(size))
    return min(max(1, eps), 2**62)


def _flattest(ctx: Context, op: Op) -> Flatness:
    """Of a group, whose rows were sampled from all samples together where they are many. One row is one
    of a LayerNorm."""
    stats, x = ctx.stats.values[str(op.inputs[0])], op.inputs[0]
    count = math.prod(ctx.shape(x)[:-1])
    if count == 1:
        return flatness(ctx, op)
    parts = stats.rows.reshape(-1, op.attrs["groups"], ctx.shape(x)[-1] // op.attrs["groups"])
    spread = _spread(op, parts[None])
    least = spread.min() / _FLATTER
    if len(parts) == count * ctx.stats.count:
        spread = _spread(op, parts.reshape(-1, count, *parts.shape[1:]))
        least = min(least, spread.min() / _NEXT)
    return flatness_of(ctx, op, float(least), spread)


def _spread(op: Op, parts: np.ndarray) -> np.ndarray:
    """Of the groups [samples, rows, groups, channels]."""
    if op.attrs.get("centred", True):
        return np.asarray(parts.std(axis=(1, 3)))
    return np.asarray(np.sqrt((parts**2).mean(axis=(1, 3))))


def _usual(ctx: Context, x: str) -> dict[str, Any]:
    dtype = ctx.dtype(x)
    return {} if ctx.has_multiples(x) else {"a": scalar_of(dtype, dtype != "int16")}


def _centred(op: Op) -> dict[str, Any]:
    return {} if op.attrs.get("centred", True) else {"centred": False}


def _scalar(centred: Centred) -> dict[str, int]:
    return {"a": centred.scalar} if centred.a is None else {}


def _pre_consts(ctx: Context, stem: str, x: str) -> list[Const | None]:
    """a and z of every channel, as q_layernorm has them."""
    channels = ctx.shape(x)[-1:]
    multiples = Const(f"{stem}.a", "int16", channels) if ctx.has_multiples(x) else None
    return [multiples, Const(f"{stem}.z", "int16", channels, usual=ctx.dtype(x) != "int16")]


def _pre(stem: str, centred: Centred) -> dict[str, np.ndarray | None]:
    return {f"{stem}.a": centred.a, f"{stem}.z": centred.z}
