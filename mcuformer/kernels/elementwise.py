"""Sums, products, the larger of two, tables, means, softmax (runtime_c/include/mcf_elementwise.h)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.epilogue import LIMIT
from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_attention import EXP
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.costs import CostSet, LoopCost, Rate
from mcuformer.kernels.shapes import TYPES, Values, constant

SOURCES = (
    "mcf_add.c",
    "mcf_column.c",
    "mcf_elementwise_dsp.c",
    "mcf_max.c",
    "mcf_unary.c",
    "mcf_mean.c",
    "mcf_argmax.c",
    "mcf_softmax.c",
    "mcf_softmax_dsp.c",
    "mcf_copy.c",
    "mcf_rows.c",
    "mcf_exp.c",
)


# As mcf_elementwise.h has them: what the loops for bytes have as immediates.
ADD_SHIFT, MUL_UP, MUL_SHIFT = 13, 15, 8
_FARTHEST = 255  # of a byte from a zero point among them


def fits_gate(mult: NDArray) -> bool:
    """Whether (b - b_zp) * mult / 2 is exact and an int32."""
    return bool((mult % 2 == 0).all() and _FARTHEST * int(mult.max()) // 2 <= LIMIT)


def channels_of(op: Op, graph: Values) -> int:
    """Elements of a row; a row of an image is a line, so the channels of all its pixels."""
    return prod(graph.type(op.outputs[0]).shape[1:])


def types(op: Op, graph: Values, *names: str) -> dict[str, int | str]:
    """The type fields of the activations of `op` in order, and of its output."""
    fields: dict[str, int | str] = {
        f"{n}_type": TYPES[graph.type(str(value)).dtype]
        for n, value in zip(names, op.inputs, strict=False)
    }
    return fields | {"y_type": TYPES[graph.type(op.outputs[0]).dtype]}


def columns(channels: int, *parts: NDArray) -> tuple[CArray, ...]:
    """Per-channel numbers side by side, a row per channel; again for every pixel of a line."""
    table = np.stack([np.resize(p, channels) for p in parts], axis=1)
    return (CArray("post", "int32_t", table.astype(np.int32).reshape(-1)),)


def is_column(op: Op, graph: Values) -> bool:
    """Whether b of a sum or product has one number per row, for all its channels."""
    b, y = graph.type(str(op.inputs[1])).shape, graph.type(op.outputs[0]).shape
    return len(b) == len(y) and b[-1] == 1 < y[-1]


def is_narrow(op: Op, graph: Values) -> bool:
    """Whether a sum or product is one of bytes, row by row, for which there are loops of their own."""
    names = (*op.inputs[:2], op.outputs[0])
    return not is_column(op, graph) and all(graph.type(str(n)).dtype == "int8" for n in names)


def pack_add(op: Op, graph: Values, names: Sequence[str]) -> KernelData:
    """`names` of the activations: a and b, or a."""
    channels, inputs = channels_of(op, graph), op.inputs
    offset, *mult = (constant(graph, n) for n in (inputs[-1], *inputs[len(names) : -1]))
    shift = int(op.attrs["shift"])
    parts, narrow = (offset, *mult), False
    if len(names) == 2 and shift == ADD_SHIFT and is_narrow(op, graph):
        narrow = all(np.abs(m).max() <= 32767 for m in mult)
    if narrow:
        ma, mb = (m.astype(np.int64) & 0xFFFF for m in mult)
        parts = ((ma | mb << 16).astype(np.uint32).view(np.int32), offset)
    fields: dict[str, int | str] = {"post": "post", "channels": channels}
    fields |= types(op, graph, *names) | {"shift": shift, "narrow": int(narrow)}
    fields.setdefault("b_type", 0)
    return KernelData("mcf_add_t", fields, columns(channels, *parts))


def pack_max(op: Op, graph: Values) -> KernelData:
    """Without `post` where all is on one grid."""
    channels, same = channels_of(op, graph), len(op.inputs) == 2
    fields: dict[str, int | str] = {"post": "NULL" if same else "post", "channels": channels}
    fields |= types(op, graph, "a", "b") | {"shift": int(op.attrs.get("shift", 0))}
    if same:
        return KernelData("mcf_max_t", fields)
    ma, mb, oa, ob = (constant(graph, n) for n in op.inputs[2:])
    return KernelData("mcf_max_t", fields, columns(channels, ma, oa, mb, ob))


def is_gate(a: Sequence[int], b: Sequence[int]) -> bool:
    """Of the operands' shapes: whether one row is for all rows."""
    return len(a) == len(b) == 2 and b[0] == 1 < a[0]


def gate_factors(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Scratch of mcf_mul: what one row of b and the multipliers make, for all rows of a."""
    a, b = (graph.type(str(n)).shape for n in op.inputs[:2])
    return 8 * channels_of(op, graph) if is_gate(a, b) and is_narrow(op, graph) else 0


def pack_mul(op: Op, graph: Values) -> KernelData:
    channels = channels_of(op, graph)
    fields: dict[str, int | str] = {"post": "post", "channels": channels}
    fields |= {name: int(op.attrs[name]) for name in ("a_zp", "b_zp")}
    fields |= types(op, graph, "a", "b")
    shifts = tuple(int(op.attrs[name]) for name in ("shift", "acc_shift"))
    mult, offset = (constant(graph, n) for n in op.inputs[2:4])
    narrow = shifts == (MUL_SHIFT, MUL_UP) and is_narrow(op, graph) and fits_gate(mult)
    fields |= dict(zip(("shift", "acc_shift"), shifts, strict=True)) | {"narrow": int(narrow)}
    return KernelData("mcf_mul_t", fields, columns(channels, mult, offset))


def pack_unary(op: Op, graph: Values) -> KernelData:
    table = constant(graph, op.inputs[1])
    fields: dict[str, int | str] = {"table": "table", "channels": channels_of(op, graph)}
    fields |= types(op, graph, "x")
    return KernelData("mcf_unary_t", fields, (CArray("table", f"{table.dtype}_t", table),))


def pack_mean(op: Op, graph: Values) -> KernelData:
    channels = channels_of(op, graph)
    rows = graph.type(str(op.inputs[0])).shape[0]
    fields: dict[str, int | str] = {"post": "post", "channels": channels, "rows": rows}
    fields |= types(op, graph, "x")
    fields |= {name: int(op.attrs[name]) for name in ("shift", "acc_shift")}
    arrays = columns(channels, *(constant(graph, n) for n in op.inputs[1:4]))
    return KernelData("mcf_mean_t", fields, arrays)


def pack_argmax(op: Op, graph: Values) -> KernelData:
    x = graph.type(str(op.inputs[0]))
    fields: dict[str, int | str] = {"channels": x.shape[1], "x_type": TYPES[x.dtype]}
    return KernelData("mcf_argmax_t", fields)


def pack_softmax(op: Op, graph: Values) -> KernelData:
    attrs, small = op.attrs, graph.type(str(op.inputs[0])).dtype == "int8"
    fields: dict[str, int | str] = {
        "table": "table" if small else "NULL",
        "channels": channels_of(op, graph),
    }
    fields |= {name: int(attrs[name]) for name in ("m", "o_mant", "o_exp", "zp")}
    fields |= types(op, graph, "x") | {"pre_shift": int(attrs["pre_shift"])}
    delta = np.minimum(np.arange(256, dtype=np.int64) << int(attrs["pre_shift"]), 2**31 - 1)
    table = EXP[np.minimum((delta * int(attrs["m"])) >> 32, len(EXP) - 1)]
    return KernelData(
        "mcf_softmax_t", fields, (CArray("table", "uint16_t", table),) if small else ()
    )


def row_of_exponentials(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Scratch of mcf_softmax."""
    return (2 * channels_of(op, graph) + 7) & ~7


def copy_instructions(row_bytes: int, rows: int) -> int:
    """Of mcf_copy."""
    return rows * (row_bytes // 2 + 12)


def _loop(op: Op, graph: Values, rate: Rate) -> LoopCost | None:
    if rate.narrow is None or not is_narrow(op, graph):
        return None
    a, b = (graph.type(str(n)).shape for n in op.inputs[:2])
    return rate.gate if rate.gate is not None and is_gate(a, b) else rate.narrow


def instructions(
    op: Op, graph: Values, rows: int, *, rate_of: str, costs: CostSet, **_: Any
) -> int:
    """By the rate of that name; of a mean, one mcf_mean_partial."""
    rate = costs.rates["larger" if rate_of == "max" and len(op.inputs) == 2 else rate_of]
    loop = _loop(op, graph, rate)
    if loop is not None:
        channels = channels_of(op, graph)
        each = loop.each * channels + loop.row + loop.rest * (channels % 4)
        return int(rows * each + loop.call * channels + 24)
    operands, y = op.inputs[: rate.operands], graph.type(op.outputs[0]).dtype
    read, by_type, narrowing = operands, rate.each, rate.narrowing
    if rate.column is not None and is_column(op, graph):
        # one number per row costs the same in any type
        read, by_type, narrowing = operands[:1], rate.column, None
    names = {graph.type(str(name)).dtype for name in (*read, *op.outputs[: not rate.inner])}
    each = by_type[0 if names == {"int8"} else 1 if names == {"int16"} else 2]
    if narrowing is not None and y == "int8" and graph.type(str(read[0])).dtype == "int16":
        each = narrowing
    channels = max(prod(graph.type(str(n)).shape[1:]) for n in operands)
    rest = rate.rest * (channels % 4)
    return int(rows * (channels * each + rest + rate.row) + rate.call * channels + 24)
