"""The shapes of absorbed weights (quant/absorb.py) without their numbers, for outlines of graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.schedule.outline import constant, nominal

if TYPE_CHECKING:
    from mcuformer.quant.absorb import Group


def outlined(graph: Graph, values: dict[str, Value], group: Group) -> list[Op]:
    """q' = W_k^T q, softmax(q' N^T) N, W_v: what absorb makes of one attention, in outline."""
    op, heads = group.attention, group.attention.attrs["heads"]
    (rows, inner), width = graph.type(str(op.inputs[0])).shape, graph.type(group.tokens).shape[1]
    q, scores = f"{op.name}.q", f"{op.name}.pn"
    values[q], values[scores] = (
        Value(n, TensorType((rows, heads * width), "int16")) for n in (q, scores)
    )
    clamps = {"groups": heads, "clamp_min": 0, "clamp_max": 0}
    up = _linear(values, q, str(op.inputs[0]), (heads * width, inner // heads), clamps, q)
    attrs = {**op.attrs, "kv_heads": 1, "k_zp": 1, "v_zp": 1, "pre_shift": 0}
    inputs = (q, group.tokens, group.tokens, *op.inputs[3:])
    attention = Op(op.kind, op.name, inputs, (scores,), attrs, op.origin)
    shape = graph.type(str(group.v.inputs[1])).shape
    down = _linear(values, f"{op.name}.out", scores, shape, {"groups": heads}, op.outputs[0])
    return [up, nominal(attention, lambda n: values[n].type), down]


def _linear(
    values: dict[str, Value],
    name: str,
    x: str,
    shape: tuple[int, ...],
    attrs: Mapping[str, int],
    out: str,
) -> Op:
    """`out` is a value already."""
    names = [f"{name}.{suffix}" for suffix in "wbmo"]
    values[names[0]] = constant(names[0], "int8", shape)
    for key in names[1:]:
        values[key] = constant(key, "int32", shape[:1])
    op = Op("q_linear", name, (x, *names, None, None, None), (out,), attrs)
    return nominal(op, lambda n: values[n].type)
