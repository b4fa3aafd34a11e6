"""Statistics over all rows, what is normalised with them, and powers: GroupNorm, InstanceNorm, GRN, quotients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.ir import int_ops_group as evaluate
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import Shape
from mcuformer.kernels import groupnorm as kernels
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    Sums,
    TypeOf,
    first,
    named,
    none,
    per_channel,
    same,
    want,
)

MOST_NUMBERS = 1 << 24  # of a group: its sum of squares, and N^2 times the variance, fit int64
MOST_CHANNELS = 1 << 16  # of a group in a row: their sum fits int32
_STATS = frozenset({"eps_q", "gain", "gain_exp", "zp", "a"})


def _groups(attrs: Mapping[str, Any], x: Shape) -> int:
    want(len(x) == 2, f"wants rows [T, C], has {x}")
    groups = int(attrs["groups"])
    want(x[1] % groups == 0, f"{groups} groups do not divide {x[1]} channels")
    return groups


def _stats(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    per_channel(s, x[-1], 1, 2)
    return (1, evaluate.WORDS * _groups(attrs, x))


def _rms(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    per_channel(s, x[-1], 1, 2)
    return (1, _groups(attrs, x))


def _normed(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    stats = (1, evaluate.WORDS * _groups(attrs, x))
    want(s[1] == stats, f"statistics are {s[1]}, want {stats}")
    per_channel(s, x[-1], 2, 3, 4, 5)
    return x


def _nominal(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    return {"a": op.attrs["a"]} if op.attrs.get("a", 1) != 1 else {}


def _too_many(graph: Graph, op: Op) -> str | None:
    rows, channels = graph.type(str(op.inputs[0])).shape
    size = channels // int(op.attrs["groups"])
    if size > MOST_CHANNELS or rows * size > MOST_NUMBERS:
        return f"statistics of more than {MOST_NUMBERS:,} numbers, or {MOST_CHANNELS:,} of a row"
    return None


def _summed(finish: str) -> Kernel:
    return Kernel(
        "mcf_groupstats_partial", "mcf_groupnorm.h", kernels.pack_stats, ("x",),
        sums=Sums(kernels.sum_bytes, finish, kernels.finish_instructions),
    )  # fmt: skip


_GROUPNORM = Lowering("lower_statistics.lower_groupnorm", _too_many,
                      ("InstanceNormalization", "GroupNormalization", "LayerNormalization",
                       "MeanVarianceNormalization"))  # fmt: skip
_COST = Cost("groupstats", kernels.stats_instructions, frozenset({"groups"}))

ROWS = (
    IntOp("q_groupstats", named("x:-1", "a?:0", "z?:0"), "mean", _stats, evaluate.q_groupstats,
          {"groupnorm": _GROUPNORM}, _summed("mcf_groupstats_finish"), _COST, _STATS, _nominal,
          none, counted="a"),
    IntOp("q_groupnorm", named("x:-1", "stats", "a?:0", "z?:0", "g:0", "b:0"), "rows", _normed,
          evaluate.q_groupnorm, {"groupnorm": _GROUPNORM},
          Kernel("mcf_groupnorm", "mcf_groupnorm.h", kernels.pack_norm, ("x", "stats")),
          Cost("groupnorm", kernels.norm_instructions, frozenset({"groups"})),
          frozenset({"frac2", "a"}), _nominal, none, counted="g", broadcast=True),
    IntOp("q_rms", named("x:-1", "a?:0", "z?:0"), "mean", _rms, evaluate.q_rms,
          {"rms": Lowering("lower_statistics.lower_rms", _too_many,
          ("ReduceL2", "ReduceSumSquare", "Sqrt"), one_scale="out")},
          _summed("mcf_rms_finish"), _COST, _STATS, _nominal, none, counted="a"),
    IntOp("q_power", named("x:-1"), "rows", same, evaluate.q_power,
          {"power": Lowering("lower_statistics.lower_power",
          onnx=("Div", "Reciprocal", "Sqrt", "Pow"), one_scale="both", wide=True)},
          Kernel("mcf_power", "mcf_power.h", kernels.pack_power, ("x",)),
          Cost("power", kernels.power_instructions, frozenset({"halves"})),
          frozenset({"gain", "gain_exp", "x_zp", "zp"}), lambda op, wide, type_of: {}, none,
          counted=None),
)  # fmt: skip
