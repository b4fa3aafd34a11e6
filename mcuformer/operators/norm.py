"""q_layernorm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_norm import q_layernorm
from mcuformer.ir.optable import Shape
from mcuformer.kernels import layernorm
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    TypeOf,
    first,
    named,
    none,
    per_channel,
    want,
)


def _normalised(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    want(x[-1] % attrs["groups"] == 0, f"{attrs['groups']} groups do not divide {x[-1]} channels")
    per_channel(s, x[-1], 1, 2, 3, 4)
    return x


def _nominal(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    """Fraction bits: on int8 without scales per channel, the scratch depends on them."""
    given = any(name is not None for name in op.inputs[1:3])
    attrs = {"frac": 16 if wide or given or op.attrs["frac"] == 16 else 15}
    if op.attrs.get("a", 1) != 1:
        attrs["a"] = op.attrs["a"]
    return attrs


MOST_CHANNELS = 1 << 16  # of a group: their sum fits int32


def _too_wide(graph: Graph, op: Op) -> str | None:
    size = graph.type(str(op.inputs[0])).shape[-1] // int(op.attrs["groups"])
    return f"a norm of more than {MOST_CHANNELS:,} channels" if size > MOST_CHANNELS else None


ROWS = (
    IntOp(
        kind="q_layernorm",
        operands=named("x:-1", "a?:0", "z?:0", "g?:0", "b?:0"),
        movement="rows",
        shape=_normalised,
        evaluate=q_layernorm,
        lowered={"layernorm": Lowering("lower_norm.lower_layernorm", _too_wide, onnx=(
            "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "LpNormalization", "ReduceL2",
            "ReduceMean", "Pow",
            "Sqrt", "Reciprocal"))},
        kernel=Kernel(
            "mcf_layernorm", "mcf_layernorm.h", layernorm.pack, ("x",),
            scratch_bytes=layernorm.scratch_bytes,
        ),
        cost=Cost("layernorm", layernorm.instructions, frozenset({"groups", "frac", "a"})),
        numbers=frozenset({"eps_q", "gain", "gain_exp", "frac", "frac2", "zp", "a"}),
        nominal=_nominal,
        macs=none,
        counted="a",
        cut=True,
        grouped=True,
    ),
)  # fmt: skip
