"""mcf_layernorm: LayerNorm and RMSNorm over groups of channels (runtime_c/include/mcf_layernorm.h)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_norm import mean_reciprocal
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import TYPES, Values

SOURCES = ("mcf_layernorm.c", "mcf_layernorm_dsp.c", "mcf_layernorm_asm.c")
LANES = (0, 2, 1, 3)  # how SXTB16 takes four bytes apart


def pack(op: Op, graph: Values) -> KernelData:
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    a, z, g, b = (graph.const(op.operand(i)) for i in (1, 2, 3, 4))
    channels, groups = x.shape[1], int(op.attrs["groups"])
    inv, inv_shift = mean_reciprocal(channels // groups)
    if not op.attrs.get("centred", True):
        inv = 0
    arrays = []
    if scaled(op, graph):
        minus_z = np.zeros(channels, np.int32) if z is None else -z.astype(np.int32)
        scale = np.full(channels, op.attrs.get("a", 1)) if a is None else a
        pre = np.concatenate([lanes(minus_z), lanes(scale)], axis=1)
        arrays.append(CArray("pre", "int16_t", pre.reshape(-1)))
    if g is not None and b is not None:
        arrays.append(CArray("g", "int16_t", g.astype(np.int16)))
        arrays.append(CArray("b", "int32_t", b.astype(np.int32)))
    frac, zp = int(op.attrs["frac"]), int(op.attrs["zp"])
    fields: dict[str, int | str] = {
        "pre": "pre" if scaled(op, graph) else "NULL",
        "g": "NULL" if g is None else "g",
        "b": "NULL" if g is None else "b",
        "eps_q": int(op.attrs["eps_q"]),
        "channels": channels,
        "groups": groups,
        "inv": inv,
        "gain": int(op.attrs["gain"]),
        "base": (zp << frac) + (1 << (frac - 1)) if g is None else 0,
        "gain_exp": int(op.attrs["gain_exp"]),
        "a": int(op.attrs.get("a", 1)),
        "inv_shift": inv_shift,
        "shift": frac if g is None else int(op.attrs["frac2"]),
        "x_type": TYPES[x.dtype],
        "y_type": TYPES[y.dtype],
    }
    return KernelData("mcf_layernorm_t", fields, tuple(arrays))


def lanes(values: NDArray) -> NDArray[np.int16]:
    """[C] -> [ceil(C/4), 4] in the order 0, 2, 1, 3, padded with zeros."""
    padded = np.pad(values.astype(np.int16), (0, -len(values) % 4))
    return padded.reshape(-1, 4)[:, LANES]


def scaled(op: Op, graph: Values) -> bool:
    """Whether the struct holds a scale per channel: given, or so that the quick code applies."""
    given = op.operand(1) is not None or op.operand(2) is not None
    return given or (small_words(op, graph) and int(op.attrs["frac"]) != 16)


def small_words(op: Op, graph: Values) -> bool:
    """int8 rows without gamma whose groups are whole words."""
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    whole = x.shape[1] // int(op.attrs["groups"]) % 4 == 0
    return x.dtype == y.dtype == "int8" and op.operand(3) is None and whole


def path(op: Op, graph: Values) -> str:
    """The way of the Cortex-M code: "plain", "scaled", "shifted" int8 rows, "wide" int16, "any"."""
    power = op.attrs.get("a", 1)
    if small_words(op, graph) and scaled(op, graph):
        return "scaled" if int(op.attrs["frac"]) == 16 else "shifted"
    if small_words(op, graph) and power == 256:
        return "plain"
    wide = graph.type(str(op.inputs[0])).dtype == "int16"
    return "wide" if wide and not scaled(op, graph) and power == 1 else "any"


def scratch_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """A row in int16, where it is not worked on where it lies."""
    channels = graph.type(str(op.inputs[0])).shape[1]
    return 0 if path(op, graph) in ("plain", "wide") else (2 * channels + 7) & ~7


def weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    return 0


def instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Fitted to counts of the Cortex-M code (tests/kernels/test_layernorm.py)."""
    way, channels = path(op, graph), graph.type(str(op.inputs[0])).shape[1]
    gamma, wide = op.operand(3) is not None, graph.type(op.outputs[0]).dtype == "int16"
    each = {
        "plain": 5.06,
        "scaled": 7.0,
        "shifted": 8.5,
        "wide": 8.25 + wide / 2,
        "any": 15 + 1.25 * scaled(op, graph),
    }[way]
    each += 6.5 * gamma if way in ("wide", "any") else 0
    return int(rows * (channels * each + int(op.attrs["groups"]) * 116 + 45) + 25)
