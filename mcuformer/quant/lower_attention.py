"""attention -> q_attention and softmax -> q_softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError, UnsupportedModelError
from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_attention import EXP, EXP_ENTRIES, EXP_PARTS, EXP_RANGE
from mcuformer.ir.neighbours import PATCH_GRID, RADII
from mcuformer.ir.types import QParams
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.quant.attention_grids import attention_p_shift, is_direct, output_qparams
from mcuformer.quant.attention_scales import snap_ratio
from mcuformer.quant.class_grids import softmax_qparams
from mcuformer.quant.context import Context
from mcuformer.quant.lower_simple import emit_requant

_COARSEST = 0.25  # step of a softmax's result, which its shifts have room for
LOWEST = -32768 * EXP_RANGE / EXP_ENTRIES  # a bias that stands for -inf
_FAR = "the output's scale is out of reach"
STEPS = EXP_ENTRIES / EXP_RANGE  # of a score per unit of the exponent


def lower_attention(ctx: Context, op: Op) -> None:
    q, k, v = (str(n) for n in op.inputs[:3])
    windows, dtype, out = int(op.attrs.get("windows", 1)), ctx.dtype(k), op.outputs[0]
    attrs: dict[str, Any] = {"heads": int(op.attrs["heads"])}
    if windows > 1:
        attrs["windows"] = windows
    if any(op.attrs.get(RADII, ())):
        attrs |= {RADII: op.attrs[RADII], PATCH_GRID: op.attrs[PATCH_GRID]}
    asked = q if ctx.const(q) is None else Const(q, dtype, ctx.shape(q))
    operands = [asked, k, v, _bias(ctx, op)]
    emit = partial(
        ctx.emit, "q_attention", op, operands, attrs, partial(_numbers, ctx, op), {"pre_shift": 0}
    )
    if is_direct(ctx.graph, op, ctx.plan):
        emit()
        return
    raw = ctx.raw_type(out, dtype, partial(_own_grid, ctx, op))
    name = emit(ctx.b.fresh(f"{out}.raw"), raw)
    emit_requant(ctx, op, name, raw)


def _own_grid(ctx: Context, op: Op) -> QParams:
    exact = snap_ratio(ctx.plan.ratios[op.name])[2]
    return output_qparams(ctx.graph, op, ctx.qparams(str(op.inputs[2])), exact)


def _numbers(ctx: Context, op: Op) -> Numbers:
    q, k = (str(n) for n in op.inputs[:2])
    heads, keys = int(op.attrs["heads"]), ctx.shape(k)[0] // int(op.attrs.get("windows", 1))
    dtype, limits = ctx.dtype(k), ctx.plan.limits[op.name]
    product = np.broadcast_to(ctx.qparams(q).scale * ctx.qparams(k).scale, (_width(ctx, q),))
    per_head = product.reshape(heads, -1)[:, 0] * float(op.attrs["scale"]) * STEPS
    top = 128 if dtype == "int8" else 0
    bound = _width(ctx, q) // heads * max(top, limits.q) * max(top, limits.k)
    m, pre_shift = _score_multiplier(per_head, bound, op.name)
    p_shift = attention_p_shift(dtype, keys)
    mant, exponent, _ = snap_ratio(ctx.plan.ratios[op.name])
    _check_shifts(exponent, p_shift, keys, op.name)
    attrs = {
        "m": m,
        "pre_shift": pre_shift,
        "p_shift": p_shift,
        "o_mant": mant,
        "o_exp": exponent,
    }
    arrays: dict[str, NDArray | None] = {}
    if (query := ctx.const(q)) is not None:
        arrays[q] = ctx.qparams(q).quantise(query, dtype)
    if (bias := ctx.const((*op.inputs, None)[3])) is not None:
        arrays[f"{op.name}.bias"] = _bias_steps(bias, heads)
    return attrs, arrays


def _bias_steps(bias: NDArray, heads: int) -> NDArray[np.int16]:
    """A bias in steps. Of windows the positions, which all have, and the masks are rounded one by one,
    so that the sums of both are stored as their parts (kernels/relative.py)."""
    parts = np.nan_to_num(bias, neginf=LOWEST)
    parts = parts.reshape(-1, min(heads, len(bias)), *bias.shape[1:])
    positions = parts.max(axis=0)
    steps = np.rint(positions * STEPS) + np.rint((parts - positions) * STEPS)
    return np.clip(steps, -32768, 32767).astype(np.int16).reshape(bias.shape)


def _width(ctx: Context, name: str) -> int:
    return ctx.graph.type(name).shape[1]


def _score_multiplier(
    steps: NDArray[np.float64], bound: int, where: str
) -> tuple[tuple[int, ...], int]:
    """m per head and pre_shift with steps = m * 2^(pre_shift - 32), m below 2^31."""
    pre_shift = max(0, math.ceil(math.log2(float(steps.max())) + 1 + 1e-9))
    if bound << pre_shift >= 2**31:
        raise OutOfRangeError(where, "scores are too coarse for int32")
    return tuple(int(m) for m in np.rint(steps * 2.0 ** (32 - pre_shift))), pre_shift


def _check_shifts(exponent: tuple[int, ...], p_shift: int, keys: int, where: str) -> None:
    """1 <= o_exp - clz32(sum) <= 31 for the least and the largest sum of probabilities."""
    _check_least_shift(exponent, p_shift, where)
    least = 32 - (keys * (int(EXP[0]) >> p_shift)).bit_length()
    if max(exponent) - least > 31:
        raise OutOfRangeError(where, _FAR)


def _check_least_shift(exponent: tuple[int, ...], p_shift: int, where: str) -> None:
    most = 32 - (int(EXP[0]) >> p_shift).bit_length()
    if min(exponent) - most < 1:
        raise OutOfRangeError(where, _FAR)


def _bias(ctx: Context, op: Op) -> Const | None:
    """A constant bias [1|h, Tq, Tk] in steps of the scores, int16."""
    if len(op.inputs) < 4 or op.inputs[3] is None:
        return None
    if ctx.const(op.inputs[3]) is None:
        raise UnsupportedModelError(f"{op.name}: an attention bias that is computed")
    return Const(f"{op.name}.bias", "int16", ctx.shape(op.inputs[3]))


def lower_softmax(ctx: Context, op: Op) -> None:
    """On its own grid first where it shares one that is coarser by far."""
    out = op.outputs[0]
    if ctx.holds(True, lambda: float(ctx.qparams(out).scale) <= _COARSEST):
        numbers = partial(_softmax_numbers, ctx, op, lambda: ctx.qparams(out))
        ctx.emit("q_softmax", op, [str(op.inputs[0])], {}, numbers)
        return
    dtype = ctx.dtype(out)
    own = partial(softmax_qparams, dtype)
    raw = ctx.raw_type(out, dtype, own)
    numbers = partial(_softmax_numbers, ctx, op, own)
    name = ctx.b.fresh(f"{out}.raw")
    name = ctx.emit("q_softmax", op, [str(op.inputs[0])], {}, numbers, None, name, raw)
    emit_requant(ctx, op, name, raw)


def _softmax_numbers(ctx: Context, op: Op, grid: Callable[[], QParams]) -> Numbers:
    x, qparams = str(op.inputs[0]), grid()
    parts = 1 if ctx.dtype(x) == "int8" else EXP_PARTS
    steps = float(ctx.qparams(x).scale) * STEPS * parts
    # capped where one unit of x is more than the whole table
    pre_shift = min(31, max(0, math.ceil(math.log2(steps) + 1 + 1e-9)))
    mant, exponent, _ = snap_ratio(np.asarray([2.0**-16 / float(qparams.scale)]))
    _check_least_shift(
        exponent, 0, op.name
    )  # the kernel caps the largest: of thousands of channels
    attrs = {
        "m": min(2**31 - 1, round(steps * 2.0 ** (32 - pre_shift))),
        "pre_shift": pre_shift,
        "o_mant": mant[0],
        "o_exp": exponent[0],
        "zp": int(qparams.zero_point),
    }
    return attrs, {}
