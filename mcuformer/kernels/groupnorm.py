"""mcf_groupstats, mcf_rms, mcf_groupnorm and mcf_power: structs and costs (runtime_c/include)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.int_ops_norm import mean_reciprocal
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import TYPES, Values, constant

SOURCES = ("mcf_groupnorm.c",)
POWER_SOURCES = ("mcf_power.c",)
SUM_BYTES = 16  # of a group: two int64


def numbers_of(op: Op, graph: Values) -> int:
    """Of a group: all rows, and its channels."""
    rows, channels = graph.type(str(op.inputs[0])).shape
    return rows * channels // int(op.attrs["groups"])


def pack_stats(op: Op, graph: Values, **_: Any) -> KernelData:
    x, y, attrs = graph.type(str(op.inputs[0])), graph.type(op.outputs[0]), op.attrs
    inv, inv_shift = mean_reciprocal(numbers_of(op, graph))
    pre, arrays = _pre(op, graph, 1)
    fields: dict[str, int | str] = {"pre": pre, "eps_q": int(attrs["eps_q"])}
    fields |= {"channels": x.shape[1], "groups": int(attrs["groups"])}
    fields |= {"count": numbers_of(op, graph), "inv": inv if attrs.get("centred", True) else 0}
    fields |= {n: int(attrs[n]) for n in ("gain", "gain_exp", "halve")}
    fields |= {"a": int(attrs.get("a", 1)), "zp": int(attrs.get("zp", 0)), "inv_shift": inv_shift}
    fields |= {"x_type": TYPES[x.dtype], "y_type": TYPES[y.dtype]}
    return KernelData("mcf_groupstats_t", fields, arrays)


def pack_norm(op: Op, graph: Values, **_: Any) -> KernelData:
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    pre, arrays = _pre(op, graph, 2)
    post = np.stack([constant(graph, n) for n in op.inputs[4:6]], axis=1).astype(np.int32)
    fields: dict[str, int | str] = {"pre": pre, "post": "post", "channels": x.shape[1]}
    fields |= {"groups": int(op.attrs["groups"]), "a": int(op.attrs.get("a", 1))}
    fields |= {"x_type": TYPES[x.dtype], "y_type": TYPES[y.dtype]}
    fields["shift"] = int(op.attrs["frac2"])
    return KernelData(
        "mcf_groupnorm_t", fields, (*arrays, CArray("post", "int32_t", post.reshape(-1)))
    )


def _pre(op: Op, graph: Values, first: int) -> tuple[str, tuple[CArray, ...]]:
    """-z and a of every channel, where operands `first` and the next give one of them."""
    given = [graph.const(n) for n in (*op.inputs, None, None)[first : first + 2]]
    if given[0] is None and given[1] is None:
        return "NULL", ()
    channels = graph.type(str(op.inputs[0])).shape[1]
    a, z = given
    scale = np.full(channels, op.attrs.get("a", 1)) if a is None else a
    minus = np.zeros(channels) if z is None else -z.astype(np.int32)
    pairs: NDArray[np.int16] = np.stack([minus, scale], axis=1).astype(np.int16)
    return "pre", (CArray("pre", "int16_t", pairs.reshape(-1)),)


def pack_power(op: Op, graph: Values, **_: Any) -> KernelData:
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    names = ("gain", "gain_exp", "x_zp", "zp", "halves")
    fields: dict[str, int | str] = {"channels": int(np.prod(x.shape[1:]))}
    fields |= {n: int(op.attrs[n]) for n in names}
    fields |= {"x_type": TYPES[x.dtype], "y_type": TYPES[y.dtype]}
    return KernelData("mcf_power_t", fields)


def sum_bytes(op: Op, graph: Values) -> int:
    return SUM_BYTES * int(op.attrs["groups"])


def stats_instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Of one mcf_groupstats_partial; fitted to counts in Unicorn, as the others."""
    channels, groups = graph.type(str(op.inputs[0])).shape[1], int(op.attrs["groups"])
    each = 10 if _scaled(op, 1) else 6
    return int(rows * (channels * each + groups * 28 + 15) + 25)


def finish_instructions(op: Op, graph: Values) -> int:
    return (104 if op.kind == "q_groupstats" else 87) * int(op.attrs["groups"]) + 12


def norm_instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    x, y = (graph.type(str(n)) for n in (op.inputs[0], op.outputs[0]))
    mixed, small = x.dtype != y.dtype, x.dtype == "int8"
    each = 16.5 if mixed else 12 if not small else 14 if _scaled(op, 2) else 11
    group = 39 if mixed else 29 if small and _scaled(op, 2) else 25
    return int(rows * (x.shape[1] * each + int(op.attrs["groups"]) * group + 45) + 26)


def _scaled(op: Op, first: int) -> bool:
    return any(n is not None for n in op.inputs[first : first + 2])


def power_instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    channels = int(np.prod(graph.type(op.outputs[0]).shape[1:]))
    return int(rows * (channels * (42 if op.attrs["halves"] == -2 else 65) + 15) + 15)
