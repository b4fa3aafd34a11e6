"""What a schedule may depend on: shapes, types and structure of an int graph, none of its numbers.

Weights, scales and fraction bits change with training and calibration; if choices depended on them,
the search could not know what compile will choose. So choices are made on the outline, where an
attribute that only numbers decide has its usual value. What a kernel's *bytes* depend on stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value

STAGE = "outline"
_NUMBERS = frozenset({
    "x_zp", "shift", "acc_shift", "eps_q", "gain", "gain_exp", "frac2", "zp", "m", "o_mant", "o_exp",
    "pad_value", "v_zp", "a_zp", "b_zp", "clamp_min", "clamp_max", "k_zp", "frac", "a",
})  # fmt: skip
_NARROW_SHIFT = 11  # no int8 output of quant/epilogue.py has more
_WEIGHTED = frozenset({"q_linear", "q_patch_embed", "q_conv2d", "q_dwconv2d"})


def times(graph: Graph, op: Op) -> int:
    """How often `op` occurs in the network that `graph` is short for.

    meta["times"] has a count for the origin of every block that stands for several.
    """
    counts = graph.meta.get("times")
    return counts.get(op.origin[0], 1) if counts and op.origin else 1


def outline(graph: Graph) -> Graph:
    """`graph` with placeholders for constants and usual values for numbers; names stay."""
    if graph.stage == STAGE:
        return graph
    values = {n: _outlined(v) for n, v in graph.values.items()}
    ops = tuple(nominal(op, graph.type) for op in graph.ops)
    return graph.replace(stage=STAGE, ops=ops, values=values)


def _outlined(value: Value) -> Value:
    t = value.type
    if value.data is None:
        return Value(value.name, TensorType(t.shape, t.dtype))
    return constant(value.name, t.dtype, t.shape)


def nominal(op: Op, type_of: Callable[[str], TensorType]) -> Op:
    """`op` with the attributes that its outline has."""
    attrs: dict[str, Any] = {k: v for k, v in op.attrs.items() if k not in _NUMBERS}
    wide = type_of(op.outputs[0]).dtype == "int16"
    if op.kind in _WEIGHTED:
        attrs |= _epilogue(op, wide)
        if "clamp_min" in op.attrs or "clamp_max" in op.attrs:
            attrs["clamp_min"] = attrs["clamp_max"] = 0
    elif op.kind == "q_attention":
        attrs |= {"m": (1 << 24,), "o_mant": (1 << 14,), "o_exp": (28,)}
        attrs["pre_shift"] = min(1, op.attrs["pre_shift"])
        keys = type_of(str(op.inputs[1])).shape[0] // op.attrs.get("windows", 1)
        attrs["p_shift"] = int(keys * 128 * 32767 >= 1 << 31)
        if "k_zp" in op.attrs:
            attrs |= {"k_zp": 1, "v_zp": 1}
    elif op.kind == "q_layernorm":
        attrs["frac"] = _fraction(op, wide)
        if op.attrs.get("a", 1) != 1:
            attrs["a"] = op.attrs["a"]
    return Op(op.kind, op.name, op.inputs, op.outputs, attrs, op.origin)


def _epilogue(op: Op, wide: bool) -> dict[str, int]:
    """Shifts as quant/epilogue.py finds them for nearly every layer of their kind."""
    if wide:
        return {"x_zp": 1, "shift": 12, "acc_shift": 6}
    if len(op.inputs) > 5 and op.inputs[5] is not None:
        return {"x_zp": 1, "shift": 8, "acc_shift": 2}
    if "groups" in op.attrs or op.attrs.get("shift", 0) > _NARROW_SHIFT:
        return {"x_zp": 1, "shift": 15, "acc_shift": 5}  # absorbed weights, of all heads or of one
    return {"x_zp": 1, "shift": 3}


def _fraction(op: Op, wide: bool) -> int:
    """Fraction bits of a LayerNorm: on int8 without scales per channel, its scratch depends on them."""
    given = any(name is not None for name in op.inputs[1:3])
    return 16 if wide or given or op.attrs["frac"] == 16 else 15
