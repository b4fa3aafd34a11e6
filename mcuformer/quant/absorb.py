"""Attention with absorbed weights: scores against the tokens themselves, no K and no V.

q k^T = (W_k^T q) n^T up to a term that the softmax cancels, and P V = (P N) W_v^T + b_v (rows of P sum
to one), where N is what the k and v layers read (docs/adr/0002, "Absorbed weights"). K and V are never
rounded; W_k^T q and P N are, to 16 bits: a reference of its own. W_k^T has other output channels than
W_k, so it is rounded anew: to 8 bits, also where W_k has 4. Of an outline (operators/outline.py) the
outline comes out: operators and shapes are said here, beside the functions that compute numbers
(quant/absorbed_numbers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.neighbours import RADII
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.kernels.linear_cost import weight_bits
from mcuformer.operators.outline import STAGE, nominal
from mcuformer.quant.absorbed_numbers import (
    Group,
    Sum,
    constants,
    mixed_bits,
    numbers_of_keys,
    numbers_of_values,
    p_shift,
    query_limit,
    score_multiplier,
    token_range,
    unit_of,
)

Fresh = Callable[[str], str]  # a name of its own for a stem: the network may have such names, too


def absorbable(graph: Graph) -> dict[str, Group]:
    """Attentions by name whose k and v are plain linear layers on one int8 value."""
    producers, consumers = graph.producers(), graph.consumers()
    found = {}
    for op in graph.ops:
        if op.attrs.get("windows", 1) > 1 or RADII in op.attrs:
            continue  # K and V of one window, or of a few lines of patches, are small
        if (
            op.kind != "q_attention"
            or op.attrs.get("kv_heads", op.attrs["heads"]) != op.attrs["heads"]
        ):
            continue
        if graph.const(op.inputs[0]) is not None:
            continue
        k, v = (producers.get(str(n)) for n in op.inputs[1:3])
        if k is None or v is None or not (_plain(graph, k) and _plain(graph, v)):
            continue
        alone = k is not v and all(
            len(consumers[o.outputs[0]]) == 1 and o.outputs[0] not in graph.outputs for o in (k, v)
        )
        if alone and k.inputs[0] == v.inputs[0] and graph.type(str(k.inputs[0])).dtype == "int8":
            group = Group(op, k, v)
            if graph.stage == STAGE or _precision_bits(graph, group) >= 7:
                found[op.name] = group
    return found


def _plain(graph: Graph, op: Op) -> bool:
    if op.kind != "q_linear" or any(n is not None for n in op.inputs[5:]):
        return False
    return not op.attrs.get("k_split") and op.attrs.get("groups", 1) == 1


def _precision_bits(graph: Graph, group: Group) -> int:
    return min(15, mixed_bits(graph, group))


def absorb(graph: Graph, names: Iterable[str]) -> Graph:
    """`graph` with the named attentions rewritten; the rest stays as it is.

    meta["absorbed"]: the bits that the weights of the layers that are gone were rounded to, by name.
    """
    groups = absorbable(graph)
    chosen = {name: groups[name] for name in names}
    values = dict(graph.values)
    taken, tried = {op.name for op in graph.ops}, dict[str, int]()

    def fresh(stem: str) -> str:
        name = fresh_name(stem, values, taken, tried=tried)
        taken.add(name)
        return name

    dropped = {id(o) for g in chosen.values() for o in (g.k, g.v)}
    ops: list[Op] = []
    for op in graph.ops:
        if id(op) in dropped:
            continue
        group = chosen.get(op.name)
        ops += [op] if group is None else _rewrite(graph, values, group, fresh)
    bits = {o.name: weight_bits(o) for g in chosen.values() for o in (g.k, g.v)}
    meta = {**graph.meta, "absorbed": {**graph.meta.get("absorbed", {}), **bits}}
    return graph.replace(ops=tuple(ops), values=values, meta=meta).pruned()


def _rewrite(graph: Graph, values: dict[str, Value], group: Group, fresh: Fresh) -> list[Op]:
    """W_k^T q in int16, softmax(q' N^T) N in int16, and W_v of each head on that."""
    op, name, heads = group.attention, group.attention.name, group.attention.attrs["heads"]
    q, scores, (out,) = fresh(f"{name}.q"), fresh(f"{name}.pn"), op.outputs
    (rows, inner), width = graph.type(str(op.inputs[0])).shape, graph.type(group.tokens).shape[1]
    wide = TensorType((rows, heads * width), "int16", _unit_qparams())
    limit = query_limit(graph, group)
    attrs = {"groups": heads, "clamp_min": -limit, "clamp_max": limit}
    up = Op("q_linear", q, (op.inputs[0],), (q,), attrs, group.k.origin)
    shape: tuple[int, ...] = (heads * width, inner // heads)
    up = _filled(graph, values, up, shape, wide, lambda: numbers_of_keys(graph, group)[0], fresh)
    values[scores] = Value(scores, wide)
    attention = _attention(graph, group, q, scores)
    attrs = {"groups": heads, **({"weight_bits": 4} if unit_of(group.v) == 16 else {})}
    down = Op("q_linear", fresh(f"{name}.out"), (scores,), (out,), attrs, group.v.origin)
    shape = graph.type(str(group.v.inputs[1])).shape
    down = _filled(
        graph, values, down, shape, values[out].type, lambda: numbers_of_values(graph, group), fresh
    )
    ops = [up, attention, down]
    return ops if graph.stage != STAGE else [nominal(o, lambda n: values[n].type) for o in ops]


def _attention(graph: Graph, group: Group, q: str, out: str) -> Op:
    op, heads, zp = group.attention, group.attention.attrs["heads"], int(group.k.attrs["x_zp"])
    attrs = dict(op.attrs) | {"kv_heads": 1, "k_zp": zp, "v_zp": zp, "pre_shift": 0}
    if graph.stage != STAGE:
        pre_shift, m = score_multiplier(graph, group)
        attrs |= {
            "pre_shift": pre_shift,
            "m": m,
            "p_shift": p_shift(graph.type(group.tokens).shape[0], token_range(graph, group)),
            # the result is o over the sum, times 2^bits
            "o_mant": (1 << 14,) * heads,
            "o_exp": (29 - mixed_bits(graph, group),) * heads,
        }
    inputs = (q, group.tokens, group.tokens, *op.inputs[3:])
    return op.replace(inputs=inputs, outputs=(out,), attrs=attrs)


def _filled(
    graph: Graph,
    values: dict[str, Value],
    op: Op,
    shape: tuple[int, ...],
    out: TensorType,
    numbers: Callable[[], Sum],
    fresh: Fresh,
) -> Op:
    """The q_linear `op` of one operand with weights of `shape` [N, K / groups] and all that goes with them."""
    keys = [fresh(f"{op.name}.{suffix}") for suffix in "wbmo"]
    op = op.replace(inputs=(*op.inputs, *keys, None, None, None))
    if graph.stage == STAGE:
        values[keys[0]] = constant(keys[0], "int8", shape)
        values.update((key, constant(key, "int32", shape[:1])) for key in keys[1:3])
        values[keys[3]] = constant(keys[3], "int32", (1,))
    else:
        arrays, more = constants(numbers(), out.dtype, op.attrs)
        for key, data in zip(keys, arrays, strict=True):
            values[key] = Value(key, TensorType(data.shape, str(data.dtype)), data)
        op = op.replace(attrs={**more, **op.attrs})
    values[op.outputs[0]] = Value(op.outputs[0], out)
    return op


def _unit_qparams() -> QParams:
    return QParams(np.array(1.0), np.array(0.0))
