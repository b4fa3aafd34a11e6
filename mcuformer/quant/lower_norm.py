"""layernorm -> q_layernorm: the gain, the fraction bits, and gamma and beta where they remain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.graph import Op
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.quant.class_grids import gain, group_size
from mcuformer.quant.context import Context

_MARGIN = 4.0  # rows may be this much flatter than the flattest sampled row before M saturates
_FEW_ROWS = 128
_ENOUGH = 4  # fraction bits of an affine output, before more of them are worth less than flat rows


@dataclass(frozen=True, slots=True)
class Flatness:
    """Standard deviations (or roots of mean squares) of rows, as eps widens them: `seen` of the flattest
    sampled one, `likely` of the flattest to come, which is no flatter than eps."""

    seen: float
    likely: float

    def __truediv__(self, unit: float) -> Flatness:
        return Flatness(self.seen / unit, self.likely / unit)


@dataclass(frozen=True, slots=True)
class Centred:
    """v = (x - z) * a with real = unit * v: constants a[C], z[C] or the scalar a."""

    unit: float
    a: NDArray[np.int16] | None
    z: NDArray[np.int16] | None
    scalar: int


def lower_layernorm(ctx: Context, op: Op) -> None:
    """A stream's channels have multipliers `a`; zero points `z` but where all are 0 (int16)."""
    x = str(op.inputs[0])
    dtype, channels, multiples = ctx.dtype(x), ctx.shape(x)[-1:], ctx.has_multiples(x)
    affine = len(op.inputs) > 1
    a, z, g, b = (f"{op.name}.{suffix}" for suffix in "azgb")
    operands = [
        x,
        Const(a, "int16", channels) if multiples else None,
        Const(z, "int16", channels, usual=dtype != "int16"),
        Const(g, "int16", channels) if affine else None,
        Const(b, "int32", channels) if affine else None,
    ]
    usual = {"frac": 15 if affine else 16}
    if not multiples:
        usual["a"] = scalar_of(dtype, dtype != "int16")
    attrs: dict[str, Any] = {"groups": int(op.attrs["groups"])}
    if not op.attrs.get("centred", True):
        attrs["centred"] = False
    ctx.emit("q_layernorm", op, operands, attrs, partial(_numbers, ctx, op), usual)


def _numbers(ctx: Context, op: Op) -> Numbers:
    x, y = str(op.inputs[0]), op.outputs[0]
    centred = centred_input(ctx, x)
    size = group_size(ctx.graph, op)
    flattest = flatness(ctx, op) / centred.unit
    eps = max(1, round(op.attrs["eps"] * size**2 / centred.unit**2))
    attrs: dict[str, Any] = {"eps_q": min(eps, 2**62)}
    if centred.a is None:
        attrs["a"] = centred.scalar
    consts: list[NDArray | None] = [centred.a, centred.z, None, None]
    if len(op.inputs) == 1:
        attrs |= _plain(ctx, op, y, size, flattest)
    else:
        more, *consts[2:] = affine(ctx, op, y, size, flattest)
        attrs |= more
    return attrs, {f"{op.name}.{s}": c for s, c in zip("azgb", consts, strict=True)}


def scalar_of(dtype: str, centred: bool) -> int:
    """A power of two that all channels are multiplied by, with room for x - z in int16."""
    if dtype == "uint8":
        return 64
    return 1 if dtype == "int16" else 128 if centred else 256


def centred_input(ctx: Context, x: str) -> Centred:
    qparams = ctx.qparams(x)
    channels = ctx.graph.type(x).shape[-1]
    zero = np.broadcast_to(np.rint(qparams.zero_point), (channels,)).astype(np.int16)
    z = zero if np.any(zero) else None
    multiples = ctx.plan.multiples.get(x)
    if multiples is not None:
        unit = float(qparams.scale[0] / multiples[0])
        return Centred(unit, multiples.astype(np.int16), z, 1)
    scalar = scalar_of(ctx.dtype(x), z is not None)
    return Centred(float(qparams.scale) / scalar, None, z, scalar)


def flatness(ctx: Context, op: Op) -> Flatness:
    """Of a group of a row."""
    rows = ctx.stats.values[str(op.inputs[0])].rows
    parts = rows.reshape(len(rows), op.attrs["groups"], -1)
    centred = op.attrs.get("centred", True)
    spread = parts.std(axis=-1) if centred else np.sqrt((parts**2).mean(axis=-1))
    return flatness_of(ctx, op, float(spread.min()), spread)


def flatness_of(ctx: Context, op: Op, least: float, spread: NDArray) -> Flatness:
    """`least`: the standard deviation that counts as seen, `spread` those of sampled groups [n, ...].

    Where the flattest lies far below the middle, the next may lie as far below it; few say nothing of the
    next, and made-up inputs neither. int8 results keep the quickest shifts."""
    eps = math.sqrt(op.attrs["eps"])
    seen = max(math.hypot(least, eps), 1e-6)
    likely = seen / _MARGIN
    if ctx.dtype(op.outputs[0]) == "int16" and ctx.stats.samples is not None:
        middle = math.hypot(float(np.median(spread)), eps)
        tail = seen / middle if len(spread) >= _FEW_ROWS else 0.0
        likely = min(likely, max(seen * tail, eps))
    return Flatness(seen, likely)


def _fraction(size: int, scale: float, reach: float, flattest: float, most: int) -> int:
    """Fraction bits F: u fits int32, and M for the flattest rows too."""
    fits = 31 - math.log2((math.sqrt(size) / scale + reach + 2) * 1.001)
    saturates = 15 + math.log2(flattest * scale)
    return max(2, min(most, math.floor(fits), math.floor(saturates)))


def _plain(ctx: Context, op: Op, y: str, size: int, flattest: Flatness) -> dict[str, Any]:
    """Without gamma and beta: one scale, the zero point in the row's offset."""
    scale, zero = float(ctx.qparams(y).scale), float(ctx.qparams(y).zero_point)
    mant, exponent = gain(ctx.graph, op, scale)
    frac = _fraction(size, scale, abs(zero), flattest.seen, 16)
    if (
        frac < 16
    ):  # 16 is the quickest, so that it gets no margin: often one constant row asks for less
        frac = _fraction(size, scale, abs(zero), flattest.likely, 16)
    return {"gain": mant, "gain_exp": 15 - frac - exponent, "frac": frac, "zp": round(zero)}


def affine(
    ctx: Context, op: Op, y: str, size: int, flattest: Flatness
) -> tuple[dict[str, Any], NDArray[np.int16], NDArray[np.int32]]:
    """u = normalised * 2^F, then y = (u*g >> 16) + b >> F2 with gamma and beta per channel."""
    channels = ctx.graph.type(y).shape[-1]
    gamma, beta = (ctx.const(n) for n in (*op.inputs[1:], None, None)[:2])
    qparams = ctx.qparams(y)
    factor = np.broadcast_to((1.0 if gamma is None else gamma) / qparams.scale, (channels,))
    shift = (0.0 if beta is None else beta) / qparams.scale + qparams.zero_point
    shift = np.broadcast_to(shift, (channels,))
    peak = max(float(np.abs(factor).max()), 1e-9)
    # Where gamma spans all of int16, M may saturate on rows that are nearly flat, on as few as can be:
    # the arithmetic says how.
    widest = math.floor(31 - math.log2((math.sqrt(size) + 2) * 1.001))
    steady = _fraction(size, 1.0, 0.0, flattest.seen / _MARGIN, 24)
    enough = math.ceil(math.log2(peak) + _ENOUGH + 1 + 1e-6)
    steady = max(min(steady, enough), _fraction(size, 1.0, 0.0, flattest.likely, 24))
    limits = range(steady, max(steady, widest) + 1)
    for most, frac2 in [(m, f) for m in limits for f in range(16, 0, -1)]:
        frac = max(2, math.ceil(math.log2(peak) + frac2 + 1 + 1e-6))
        reach = math.sqrt(size) * peak * 2.0**frac2 + np.abs(shift).max() * 2.0**frac2 + 4
        if frac <= most and reach * 1.001 < 2**31:
            g = np.rint(factor * 2.0 ** (frac2 + 16 - frac)).astype(np.int16)
            b = np.rint(shift * 2.0**frac2 + 2.0 ** (frac2 - 1)).astype(np.int32)
            mant, exponent = gain(ctx.graph, op, 1.0)
            attrs = {
                "gain": mant,
                "gain_exp": 15 - frac - exponent,
                "frac": frac,
                "zp": 0,
                "frac2": frac2,
            }
            return attrs, g, b
    raise OutOfRangeError(op.name, f"no fraction bits fit gamma up to {peak:.3g} output steps")
