"""q_attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_attention import q_attention
from mcuformer.ir.neighbours import PATCH_GRID, RADII, seen_by_heads
from mcuformer.ir.optable import CANONICAL, Shape
from mcuformer.kernels import near_attention
from mcuformer.kernels.attention import weight_bytes_read
from mcuformer.operators.row import Cost, IntOp, Kernel, Lowering, TypeOf, named


def _attended(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    """As of the float operator; with kv_heads 1 all heads read the same k and v (ADR 0002)."""
    shared = attrs["heads"] // attrs.get("kv_heads", attrs["heads"])
    q, k, v = s[:3]
    wide = [x and (x[0], x[1] * shared) for x in (k, v)]
    return CANONICAL["attention"].infer(attrs, [q, *wide, *s[3:]])


def _keys(op: Op, type_of: TypeOf) -> int:
    """That one query meets."""
    return int(type_of(str(op.inputs[1])).shape[0] // op.attrs.get("windows", 1))


def _macs(op: Op, type_of: TypeOf) -> int:
    q, y, heads = type_of(str(op.inputs[0])).shape, type_of(op.outputs[0]).shape, op.attrs["heads"]
    seen = seen_by_heads(op.attrs, q[0])
    pairs = q[0] * _keys(op, type_of) * heads if seen is None else int(seen.sum())
    return int(pairs * (q[1] // heads + y[1] // heads))


def _nominal(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    attrs: dict[str, Any] = {"m": (1 << 24,), "o_mant": (1 << 14,), "o_exp": (28,)}
    attrs["pre_shift"] = min(1, op.attrs["pre_shift"])
    attrs["p_shift"] = int(_keys(op, type_of) * 128 * 32767 >= 1 << 31)
    return attrs | ({"k_zp": 1, "v_zp": 1} if "k_zp" in op.attrs else {})


def _refuse(graph: Graph, op: Op) -> str | None:
    if any(graph.const(n) is not None for n in op.inputs[1:3]):
        return "attention over constant keys or values"
    if len(op.inputs) > 3 and graph.const(op.inputs[3]) is None:
        return "an attention bias that is computed"
    return None


ROWS = (
    IntOp(
        kind="q_attention",
        operands=named("q", "k", "v", "bias?"),
        movement="attention",
        shape=_attended,
        evaluate=q_attention,
        lowered={"attention": Lowering(
            "lower_attention.lower_attention", _refuse, ("MatMul", "Einsum", "Softmax", "Attention"),
            one_scale="in",
        )},
        kernel=Kernel(
            "mcf_attention", "mcf_attention.h", near_attention.pack, ("q", "k", "v"), ("k", "v"),
            near_attention.scratch_bytes, weight_bytes_read, "attention",
        ),
        cost=Cost("attention", near_attention.instructions, frozenset({
            "heads", "kv_heads", "windows", "pre_shift", "p_shift", "k_zp", RADII, PATCH_GRID,
        })),
        numbers=frozenset({"m", "o_mant", "o_exp", "pre_shift", "p_shift", "k_zp", "v_zp", "zp"}),
        nominal=_nominal,
        macs=_macs,
        counted=None,
    ),
)  # fmt: skip
