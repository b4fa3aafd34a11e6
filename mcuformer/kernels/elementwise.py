"""Sums, products, tables, means, softmax (runtime_c/include/mcf_elementwise.h)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_attention import EXP
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import TYPES, Values, constant

SOURCES = (
    "mcf_add.c",
    "mcf_column.c",
    "mcf_unary.c",
    "mcf_mean.c",
    "mcf_argmax.c",
    "mcf_softmax.c",
    "mcf_softmax_dsp.c",
    "mcf_copy.c",
    "mcf_rows.c",
    "mcf_exp.c",
)
# Instructions per channel of the Cortex-M code: all int8, all int16, mixed types.
COST: dict[str, tuple[float, float, float]] = {
    "q_add": (12, 12, 21),
    "q_requant": (9, 22, 21),
    "q_mul": (15, 15, 30),
    "q_unary": (4.25, 7, 18),
    "q_mean": (2, 8, 8),
    "q_softmax": (9.55, 64, 64),
    "q_argmax": (6, 7, 7),
}
COLUMN: dict[str, tuple[float, float, float]] = {"q_add": (11, 11, 25), "q_mul": (13, 13, 27)}
ROW = {"q_softmax": 180}  # instructions per row beside


def pack(op: Op, graph: Values) -> KernelData:
    return _PACK[op.kind](op, graph)


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
    if op.kind not in ("q_add", "q_mul"):
        return False
    b, y = graph.type(str(op.inputs[1])).shape, graph.type(op.outputs[0]).shape
    return len(b) == len(y) and b[-1] == 1 < y[-1]


def kernel_of(op: Op, graph: Values) -> str:
    return f"mcf_{op.kind[2:]}{'_column' if is_column(op, graph) else ''}"


def pack_add(op: Op, graph: Values) -> KernelData:
    channels, inputs = channels_of(op, graph), op.inputs
    operands = 2 if op.kind == "q_add" else 1
    offset, *mult = (constant(graph, n) for n in (inputs[-1], *inputs[operands:-1]))
    names = ("a", "b") if operands == 2 else ("a",)
    fields: dict[str, int | str] = {"post": "post", "channels": channels}
    fields |= types(op, graph, *names) | {"shift": int(op.attrs["shift"])}
    fields.setdefault("b_type", 0)
    return KernelData("mcf_add_t", fields, columns(channels, offset, *mult))


def pack_mul(op: Op, graph: Values) -> KernelData:
    channels = channels_of(op, graph)
    fields: dict[str, int | str] = {"post": "post", "channels": channels}
    fields |= {name: int(op.attrs[name]) for name in ("a_zp", "b_zp")}
    fields |= types(op, graph, "a", "b")
    fields |= {name: int(op.attrs[name]) for name in ("shift", "acc_shift")}
    arrays = columns(channels, *(constant(graph, n) for n in op.inputs[2:4]))
    return KernelData("mcf_mul_t", fields, arrays)


def pack_unary(op: Op, graph: Values) -> KernelData:
    table, out = constant(graph, op.inputs[1]), graph.type(op.outputs[0])
    fields: dict[str, int | str] = {"table": "table", "channels": channels_of(op, graph)}
    fields |= types(op, graph, "x")
    array = CArray("table", f"{out.dtype}_t", table.astype(out.dtype))
    return KernelData("mcf_unary_t", fields, (array,))


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


_PACK: dict[str, Callable[[Op, Values], KernelData]] = {
    "q_add": pack_add,
    "q_requant": pack_add,
    "q_mul": pack_mul,
    "q_unary": pack_unary,
    "q_mean": pack_mean,
    "q_softmax": pack_softmax,
    "q_argmax": pack_argmax,
}


def scratch_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """mcf_softmax keeps a row of exponentials, mcf_mean the sums of its channels."""
    each = {"q_softmax": 2, "q_mean": 4}.get(op.kind, 0)
    return (each * channels_of(op, graph) + 7) & ~7


def weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    return 0


def copy_instructions(row_bytes: int, rows: int) -> int:
    """Of mcf_copy."""
    return rows * (row_bytes // 2 + 12)


def instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Fitted to counts of the Cortex-M code; of a mean, one mcf_mean_partial."""
    operands = op.inputs[: 2 if op.kind in ("q_add", "q_mul") else 1]
    column = is_column(op, graph)
    read = operands[:1] if column else operands  # one number per row costs the same in any type
    names = [graph.type(str(name)).dtype for name in (*read, op.outputs[0])]
    if op.kind in ("q_mean", "q_argmax"):
        names[1] = names[0]  # their loops know nothing of the output
    small, wide = ({*names} == {dtype} for dtype in ("int8", "int16"))
    table = COLUMN if column else COST
    each = table[op.kind][0 if small else 1 if wide else 2]
    channels = max(graph.type(str(n)).shape[-1] for n in operands)
    extra = 4 * channels if op.kind == "q_mean" else 0
    rest = 25 * (channels % 4) if op.kind == "q_softmax" else 0
    return int(rows * (channels * each + rest + ROW.get(op.kind, 16)) + extra + 24)
