"""Resizing: sums of neighbouring lines and pixels, whose weights stand in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_linear import Args, checked, saturate
from mcuformer.ir.optable import CANONICAL
from mcuformer.ir.types import TensorType
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.lines import Lines
from mcuformer.kernels.shapes import TYPES, Values, constant
from mcuformer.operators.lowering import Const, Numbers, Target
from mcuformer.operators.row import Cost, IntOp, Kernel, Lowering, as_it_is, named, none

SOURCES = ("mcf_resize.c",)
PAIR_BITS, BITS = (7, 9), (14, 14)  # of weights: two by two of bytes, others
KEPT, WIDE_KEPT = 7, 0  # bits of a step that a mixed line has: of bytes, of int16
MOST_OVERSHOOT = 3.9  # sum |w| of a line times that of a pixel: int16 sums fit int32
# Instructions of mcf_resize's Cortex-M code. Two by two of bytes: a line, 4 elements of it mixed, a pixel,
# 4 channels of a multiple of 4, of another number, one channel that is left.
PAIR_LINE, PAIR_MIX, PAIR_PIXEL, PAIR_FOUR, PAIR_ODD, PAIR_ONE = 57, 18.25, 24.3, 19, 22, 8
# Others: a line, an element of a line mixed, a pixel, a channel, a tap of it.
_LINE, _MIX, _PIXEL, _CHANNEL, _TAP = 80, 6.1, 37.6, 12.2, 7.9


def q_resize(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[H,W,C], wy int16[Ho,m], wx int16[Wo,n]; beyond the border lies what the border holds.

    v[i] = (sum_t wy[i,t]*x[rows[i] + t] + half) >> drop, drop = bits[0] - kept (none where that is 0);
    y[i,j] = sat((sum_t wx[j,t]*v[i, columns[j] + t] + half) >> (bits[1] + kept)).
    """
    x, wy, wx = (np.asarray(a, np.int64) for a in args)
    kept, (high, wide) = op.attrs["kept"], op.attrs["bits"]
    t = _mixed(x, op.attrs["rows"], wy, -3) + (1 << (high - kept) >> 1)
    v = checked(t, f"{op.name}: lines") >> (high - kept)
    t = _mixed(v, op.attrs["columns"], wx, -2) + (1 << (wide + kept - 1))
    return saturate(checked(t, f"{op.name}: t") >> (wide + kept), out.dtype)


def _mixed(x: NDArray, first: Sequence[int], weights: NDArray, axis: int) -> NDArray:
    at, shape = np.asarray(first), (-1, *(1,) * (-axis - 1))
    total = np.zeros((), np.int64)
    for t in range(weights.shape[1]):
        seen = np.take(x, np.clip(at + t, 0, x.shape[axis] - 1), axis)
        total = total + seen * weights[:, t].reshape(shape)
    return total


def in_pairs(taps: Sequence[int], dtype: str) -> bool:
    """Whether the fast loop is meant: two lines by two pixels of bytes."""
    return tuple(taps) == (2, 2) and dtype != "int16"


def precision(taps: Sequence[int], dtype: str) -> dict[str, Any]:
    """Attributes: bits of the weights of lines and pixels, and of the sums between."""
    bits = PAIR_BITS if in_pairs(taps, dtype) else BITS
    return {"bits": bits, "kept": WIDE_KEPT if dtype == "int16" else KEPT}


def lower_resize(ctx: Target, op: Op) -> None:
    """The weights of a line, and of a pixel, sum to exactly 1: the grid of x is that of y."""
    x = str(op.inputs[0])
    tables = [str(n) for n in op.inputs[1:]]
    how = precision([ctx.shape(n)[1] for n in tables], ctx.dtype(x))
    consts = [
        Const(f"{op.name}.{s}", "int16", ctx.shape(n))
        for s, n in zip(("wy", "wx"), tables, strict=True)
    ]

    def numbers() -> Numbers:
        parts = zip(consts, (ctx.const(n) for n in tables), how["bits"], strict=True)
        return {}, {c.name: whole_weights(d, b) for c, d, b in parts if d is not None}

    attrs = {"rows": op.attrs["rows"], "columns": op.attrs["columns"], **how}
    ctx.emit("q_resize", op, [x, *consts], attrs, numbers)


def whole_weights(weights: NDArray, bits: int) -> NDArray[np.int16]:
    """In steps of 2^-bits; what rounding adds or takes from a sum is the largest weight's."""
    exact = weights.astype(np.float64) * (1 << bits)
    steps = np.rint(exact).astype(np.int64)
    rows, largest = np.arange(len(steps)), np.abs(exact).argmax(axis=1)
    steps[rows, largest] += (1 << bits) - steps.sum(axis=1)
    return steps.astype(np.int16)


def _overshoots(graph: Graph, op: Op) -> str | None:
    tables = [graph.const(n) for n in op.inputs[1:]]
    if any(t is None for t in tables):
        return "a resize with weights that are computed"
    if graph.shapes_only:
        return None
    most = float(np.prod([np.abs(t).sum(axis=1).max() for t in tables if t is not None]))
    if most > MOST_OVERSHOOT:
        return f"a resize whose weights sum to {most:.1f} without their signs: cubic_coeff_a of -0.5 or -0.75 works"
    return None


def lines_of(op: Op, graph: Values) -> Lines:
    taps = graph.type(str(op.inputs[1])).shape[1]
    return Lines.of_table(op.attrs["rows"], taps, graph.type(str(op.inputs[0])).shape[0])


def _taps(op: Op, graph: Values) -> tuple[int, int]:
    wy, wx = (graph.type(str(n)).shape[1] for n in op.inputs[1:3])
    return wy, wx


def pack(op: Op, graph: Values, **_: Any) -> KernelData:
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    (height, width, channels), taps = x.shape, _taps(op, graph)
    arrays = [
        CArray(name, "int16_t", np.asarray(data).astype(np.int16).reshape(-1))
        for name, data in (
            ("rows", _within(op.attrs["rows"], taps[0], height)),
            ("columns", _within(op.attrs["columns"], taps[1], width)),
            ("wy", constant(graph, op.inputs[1])), ("wx", constant(graph, op.inputs[2])),
        )
    ]  # fmt: skip
    fields: dict[str, int | str] = {a.suffix: a.suffix for a in arrays}
    fields |= {"height": height, "width": width, "channels": channels, "out_width": y.shape[1]}
    fields |= {"taps_h": taps[0], "taps_w": taps[1]}
    (bits_h, bits_w), kept = op.attrs["bits"], op.attrs["kept"]
    fields |= {"bits_h": int(bits_h), "bits_w": int(bits_w), "kept": int(kept)}
    fields |= {"type": TYPES[x.dtype], "pairs": int(in_pairs(taps, x.dtype))}
    return KernelData("mcf_resize_t", fields, tuple(arrays))


def _within(first: Sequence[int], taps: int, size: int) -> NDArray:
    """[n, taps]: the line or pixel that every tap reads."""
    return np.clip(np.asarray(first)[:, None] + np.arange(taps), 0, size - 1)


def scratch_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """A line of sums: of 16 bits for pairs, of 32."""
    x = graph.type(str(op.inputs[0]))
    item = 2 if in_pairs(_taps(op, graph), x.dtype) else 4
    return -(-item * x.shape[1] * x.shape[2] // 4) * 4


def instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Fitted to counts in Unicorn."""
    x, y, (m, n) = graph.type(str(op.inputs[0])), graph.type(op.outputs[0]), _taps(op, graph)
    width, channels = x.shape[1:]
    if in_pairs((m, n), x.dtype):
        fours, ones = divmod(channels, 4)
        pixel = PAIR_PIXEL + fours * (PAIR_ODD if ones else PAIR_FOUR) + ones * PAIR_ONE
        return round(rows * (PAIR_LINE + width * channels / 4 * PAIR_MIX + y.shape[1] * pixel))
    pixel = _PIXEL + channels * (_CHANNEL + n * _TAP)
    return round(rows * (_LINE + m * width * channels * _MIX + y.shape[1] * pixel))


ROWS = (
    IntOp(
        kind="q_resize",
        operands=named("x", "wy", "wx"),
        movement="lines",
        shape=CANONICAL["resize"].infer,
        evaluate=q_resize,
        lowered={"resize": Lowering(lower_resize, _overshoots, ("Resize", "Upsample"), moves=True)},
        kernel=Kernel("mcf_resize", "mcf_resize.h", pack, ("x",), ("x",), scratch_bytes),
        cost=Cost("resize", instructions),
        numbers=frozenset(),
        nominal=as_it_is,
        macs=none,
        counted="wx",
        lines=lines_of,
    ),
)
