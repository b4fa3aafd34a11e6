"""linear, conv2d, patch_embed with fused epilogues -> q_linear, q_conv2d, q_dwconv2d ..."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.epilogue import Epilogue, Residual, largest_sums, least_scale
from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Op
from mcuformer.ir.types import LIMITS
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.quant import refine
from mcuformer.quant.activations import end_table, table_operand, usual_bits
from mcuformer.quant.context import Context
from mcuformer.quant.grouped import is_depthwise
from mcuformer.quant.row_numbers import RowTarget, rounded, solved
from mcuformer.quant.tables import clamps
from mcuformer.quant.trace import Trace

UNITS: Mapping[int, int] = {8: 1, 4: 16}  # int4 weights count 16 times in the kernels' accumulators
_KINDS: Mapping[str, str] = {
    "linear": "q_linear",
    "conv2d": "q_conv2d",
    "patch_embed": "q_patch_embed",
}


@dataclass(slots=True)
class WeightedSum:
    """A weighted sum on integer inputs: acc + bias ~ (x - x_zp) @ w + bias, all real per step of x.

    w[K, N] float64; `reach` is max |x| + |x_zp|; `groups` of N / groups outputs see inputs of their own.
    """

    w: NDArray[np.float64]
    bias: NDArray[np.float64]
    x_zp: int
    reach: int
    groups: int
    depthwise: bool


def lower_weighted(ctx: Context, op: Op) -> None:
    """One layer: weights, epilogue, residual or table, clamps."""
    bits = ctx.bits.get(op.name, 8)
    attrs = _geometry(ctx, op)
    if bits != 8:
        attrs["weight_bits"] = bits
    operands, usual = _structure(ctx, op)
    kind = "q_dwconv2d" if is_depthwise(ctx.graph, op) else _KINDS[op.kind]
    ctx.emit(kind, op, operands, attrs, partial(_numbers, ctx, op, bits), usual)


def _structure(ctx: Context, op: Op) -> tuple[list[str | Const | None], dict[str, Any]]:
    """Operands, and the attributes of a usual epilogue."""
    name, res, out = op.name, op.inputs[3], op.outputs[0]
    *taps, n = ctx.shape(op.inputs[1])
    table, usual = table_operand(ctx, op), dict[str, Any]()
    if table is not None and table.usual:
        usual["table_bits"] = usual_bits(ctx, op)
    if ctx.dtype(out) == "int16" and _is_clamped(ctx, op):
        usual |= {"clamp_min": 0, "clamp_max": 0}
    constant = ctx.const(res) is not None
    operands: list[str | Const | None] = [
        op.inputs[0],
        Const(f"{name}.w", "int8", (n, math.prod(taps))),
        *(Const(f"{name}.{part}", "int32", (n,)) for part in ("bias", "mult")),
        Const(f"{name}.offset", "int32", (1,)),
        Const(f"{name}.res", "int16", ctx.shape(out)) if constant else res,
        None if res is None else Const(f"{name}.rmult", "int32", (n,)),
        table,
    ]
    return operands, usual


def _numbers(ctx: Context, op: Op, bits: int) -> Numbers:
    layer = _layer(ctx, op)
    weights = _integers(ctx, op, layer, bits)
    out = op.outputs[0]
    qparams, dtype = ctx.qparams(out), ctx.dtype(out)
    table = end_table(op.attrs["fn"], qparams, dtype, op.name)
    unit = UNITS[bits]
    scale = np.asarray(table.scale) if table else qparams.scale
    if table and dtype == "int16":
        acc_scale, w_int, bias = rounded(weights, scale, unit)
        sums = largest_sums(w_int, bias, layer.reach, [w_int.shape[1]])
        furthest = float(sums.max()) * float(
            np.abs(acc_scale).max()
        )  # since channels share their shifts
        table = table.within(furthest, least_scale(np.abs(acc_scale), sums, unit))
        scale = np.asarray(table.scale)
    zero = np.asarray(table.zero) if table else qparams.zero_point
    target = RowTarget(
        scale,
        zero,
        dtype,
        layer.reach,
        _residual(ctx, op),
        0 if table is None else table.bits,
        unit,
        op.name,
    )
    w_int, bias, chunks, end = solved(weights, target)
    attrs: dict[str, Any] = {"x_zp": layer.x_zp, "shift": end.shift}
    if end.acc_shift:
        attrs["acc_shift"] = end.acc_shift
    if len(chunks) > 1:
        attrs["k_split"] = tuple(chunks[:-1])
    if table:
        attrs["table_bits"] = table.bits
    attrs |= _clamps(ctx, op) | _padding(ctx, op)
    return attrs, _arrays(op.name, w_int, bias, end, None if table is None else table.data)


def _arrays(
    name: str, w_int: NDArray, bias: NDArray, end: Epilogue, table: NDArray | None
) -> dict[str, NDArray | None]:
    return {
        f"{name}.res": end.res,
        f"{name}.w": w_int,
        f"{name}.bias": bias,
        f"{name}.mult": end.mult,
        f"{name}.offset": end.offset,
        f"{name}.rmult": end.rmult,
        f"{name}.table": table,
    }


def _layer(ctx: Context, op: Op) -> WeightedSum:
    """Input scales folded into the weights, input zero points into the bias."""
    w, b = ctx.const(op.inputs[1]), ctx.const(op.inputs[2])
    assert w is not None
    x = str(op.inputs[0])
    qparams, (least, most) = ctx.qparams(x), LIMITS[ctx.dtype(x)]
    depthwise, groups = is_depthwise(ctx.graph, op), _groups(ctx, op)
    channels = ctx.graph.type(x).shape[-1]
    scale, zero = (
        a if a.ndim else np.full(channels, a) for a in (qparams.scale, qparams.zero_point)
    )
    x_zp = _common_zero(ctx, x)
    flat = w.reshape(-1, w.shape[-1]).astype(np.float64)
    if depthwise:
        real = flat * scale
        moved = real.sum(axis=0) * (x_zp - zero)
    else:
        real, moved = _on_integers(flat, scale, x_zp - zero, groups)
    bias = moved + (0.0 if b is None else b.astype(np.float64))
    return WeightedSum(real, bias, x_zp, max(-least, most) + abs(x_zp), groups, depthwise)


def _on_integers(
    w: NDArray, scale: NDArray, zero: NDArray, groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """w[K, N] on channels of steps `scale` (C,), and what an input of `zero` (C,) adds to the outputs."""
    if groups > 1:
        columns = (np.split(a, groups, axis=-1) for a in (w, scale, zero))
        parts = [_on_integers(p, s, z, 1) for p, s, z in zip(*columns, strict=True)]
        real, moved = zip(*parts, strict=True)
        return np.concatenate(real, axis=1), np.concatenate(moved)
    taps = len(w) // len(scale)
    if taps > 1:
        scale, zero = np.tile(scale, taps), np.tile(zero, taps)
    stepped = w * scale[:, None]
    return stepped, np.ascontiguousarray(zero) @ stepped


def _groups(ctx: Context, op: Op) -> int:
    """Of the integer operation: a depthwise one is another kind."""
    return 1 if is_depthwise(ctx.graph, op) else int(op.attrs.get("group", 1))


def _common_zero(ctx: Context, x: str) -> int:
    """The zero point the kernel subtracts; what is left goes into the bias. Pixels: mid-range."""
    if ctx.dtype(x) == "uint8":
        return 128
    zero = ctx.qparams(x).zero_point
    return int(zero) if np.ndim(zero) == 0 and float(zero).is_integer() else 0


def _integers(ctx: Context, op: Op, layer: WeightedSum, bits: int) -> refine.IntWeights:
    if ctx.trace is None or layer.depthwise:
        return ctx.rounding(op.name, layer.w, layer.bias, bits, None)
    window = {**_geometry(ctx, op), **_padding(ctx, op), "x_zp": layer.x_zp}
    targets = _targets(ctx, op, ctx.trace)
    if layer.groups > 1:
        apart = ctx.trace.rows_apart(op, window, layer.groups)
        return refine.fitted_apart(layer.w, apart, targets, bits)
    seen = refine.Arrived(ctx.trace.input_rows(op, window), targets)
    return ctx.rounding(op.name, layer.w, layer.bias, bits, seen)


def _targets(ctx: Context, op: Op, trace: Trace) -> NDArray[np.float32]:
    """What the rows that enter the fit should add up to [R, N]: what the residual lost, too."""
    total = trace.weighted_sum(op)
    total = total.reshape(-1, total.shape[-1])
    rows = refine.picked(len(total))
    y: NDArray[np.float32] = total[rows]
    res = op.inputs[3]
    if res is None or ctx.const(res) is not None:
        return y
    real, ints = (a.reshape(len(total), -1)[rows] for a in (trace.real[res], trace.ints[res]))
    return y + (real - ctx.qparams(res).dequantise(ints)).astype(np.float32)


def _residual(ctx: Context, op: Op) -> Residual | None:
    name = op.inputs[3]
    if name is None:
        return None
    data = ctx.const(name)
    if data is not None:
        shape = ctx.graph.type(op.outputs[0]).shape
        rows = np.broadcast_to(data.astype(np.float64), shape)
        return Residual(np.ones(()), np.zeros(()), 32768, rows)
    qparams = ctx.qparams(name)
    least, most = LIMITS[ctx.dtype(name)]
    return Residual(qparams.scale, qparams.zero_point, max(-least, most))


def _is_clamped(ctx: Context, op: Op) -> bool:
    """Whether an int16 result has other limits than the type: a ReLU, operands of an attention."""
    out = op.outputs[0]
    attended = any(
        r.kind == "attention" and out in r.inputs[:3] for r in ctx.graph.consumers()[out]
    )
    return attended or clamp_bounds(op.attrs["fn"]) is not None


def _clamps(ctx: Context, op: Op) -> dict[str, Any]:
    """Limits other than the type's."""
    out = op.outputs[0]
    if ctx.dtype(out) == "int8":
        return {}
    low, high = clamps(op.attrs["fn"], ctx.qparams(out), "int16", op.name)
    for reader in ctx.graph.consumers()[out]:
        if reader.kind == "attention" and out in reader.inputs[:3]:
            limits = ctx.plan.limits[reader.name]
            top = (limits.q, limits.k, limits.v)[reader.inputs.index(out)]
            low, high = max(low, -top), min(high, top)
    return {} if (low, high) == (-32768, 32767) else {"clamp_min": low, "clamp_max": high}


def _geometry(ctx: Context, op: Op) -> dict[str, Any]:
    """Attributes of a convolution."""
    if op.kind == "linear":
        return {}
    kernel = ctx.shape(op.inputs[1])[:2]
    attrs: dict[str, Any] = {"kernel": tuple(kernel), "strides": tuple(op.attrs["strides"])}
    if op.kind == "conv2d":
        attrs["pads"] = tuple(op.attrs["pads"])
    if (groups := _groups(ctx, op)) > 1:
        attrs["groups"] = groups
    return attrs


def _padding(ctx: Context, op: Op) -> dict[str, Any]:
    """What the taps outside of the image hold."""
    if op.kind != "conv2d" or not any(op.attrs["pads"]):
        return {}
    x = str(op.inputs[0])
    zero = np.broadcast_to(ctx.qparams(x).zero_point, ctx.shape(x)[-1:])
    return {"pad_value": tuple(int(z) for z in np.clip(np.rint(zero), *LIMITS[ctx.dtype(x)]))}
