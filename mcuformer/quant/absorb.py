"""Attention with absorbed weights: scores against the tokens themselves, no K and no V.

q k^T = (W_k^T q) n^T up to a term that the softmax cancels, and P V = (P N) W_v^T + b_v (rows of P sum
to one), where N is what the k and v layers read (docs/adr/0002, "Absorbed weights"). K and V are never
rounded; W_k^T q and P N are, to 16 bits: a reference of its own. W_k^T has other output channels than
W_k, so it is rounded anew: to 8 bits, also where W_k has 4. Of an outline (operators/outline.py) the
outline comes out: operators and shapes are said beside the functions that compute numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.operators.outline import STAGE, nominal

INT16_MAX = 32767
INT32_LIMIT = 2**31 - 1
Fresh = Callable[[str], str]  # a name of its own for a stem: the network may have such names, too


@dataclass(frozen=True, slots=True)
class Group:
    """An attention and the two linear layers that make its k and v out of the same int8 tokens."""

    attention: Op
    k: Op
    v: Op

    @property
    def tokens(self) -> str:
        return str(self.k.inputs[0])


def absorbable(graph: Graph) -> dict[str, Group]:
    """Attentions by name whose k and v are plain linear layers on one int8 value."""
    producers, consumers = graph.producers(), graph.consumers()
    found = {}
    for op in graph.ops:
        if op.attrs.get("windows", 1) > 1:
            continue  # K and V of one window are small
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
    return min(15, _mixed_bits(graph, group))


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
    bits = {o.name: _bits(o) for g in chosen.values() for o in (g.k, g.v)}
    meta = {**graph.meta, "absorbed": {**graph.meta.get("absorbed", {}), **bits}}
    return graph.replace(ops=tuple(ops), values=values, meta=meta).pruned()


@dataclass(frozen=True, slots=True)
class Sum:
    """The numbers of a q_linear with y = round(acc * factors + rest); |acc| <= sums."""

    w: NDArray
    bias: NDArray
    factors: NDArray[np.float64]
    rest: NDArray[np.float64]
    sums: int


def _rewrite(graph: Graph, values: dict[str, Value], group: Group, fresh: Fresh) -> list[Op]:
    """W_k^T q in int16, softmax(q' N^T) N in int16, and W_v of each head on that."""
    op, name, heads = group.attention, group.attention.name, group.attention.attrs["heads"]
    q, scores, (out,) = fresh(f"{name}.q"), fresh(f"{name}.pn"), op.outputs
    (rows, inner), width = graph.type(str(op.inputs[0])).shape, graph.type(group.tokens).shape[1]
    wide = TensorType((rows, heads * width), "int16", _unit_qparams())
    limit = _query_limit(graph, group)
    attrs = {"groups": heads, "clamp_min": -limit, "clamp_max": limit}
    up = Op("q_linear", q, (op.inputs[0],), (q,), attrs, group.k.origin)
    shape: tuple[int, ...] = (heads * width, inner // heads)
    up = _filled(graph, values, up, shape, wide, lambda: _up(graph, group)[0], fresh)
    values[scores] = Value(scores, wide)
    attention = _attention(graph, group, q, scores)
    attrs = {"groups": heads, **({"weight_bits": 4} if _unit(group.v) == 16 else {})}
    down = Op("q_linear", fresh(f"{name}.out"), (scores,), (out,), attrs, group.v.origin)
    shape = graph.type(str(group.v.inputs[1])).shape
    down = _filled(graph, values, down, shape, values[out].type, lambda: _down(graph, group), fresh)
    ops = [up, attention, down]
    return ops if graph.stage != STAGE else [nominal(o, lambda n: values[n].type) for o in ops]


def _factors(op: Op, graph: Graph) -> NDArray[np.float64]:
    """Real output units per accumulator unit, per channel."""
    mult = np.asarray(graph.const(op.inputs[3]), np.float64)
    return mult * 2.0 ** (op.attrs.get("acc_shift", 0) - 32 - op.attrs["shift"])


def _token_range(graph: Graph, group: Group) -> int:
    """Largest |n - zero point|."""
    return 128 + abs(int(group.k.attrs["x_zp"]))


def _query_limit(graph: Graph, group: Group) -> int:
    """Largest magnitude of q' whose scores are proved to fit int32."""
    width = graph.type(group.tokens).shape[1]
    return min(INT16_MAX, INT32_LIMIT // (_token_range(graph, group) * width))


def _up(graph: Graph, group: Group) -> tuple[Sum, NDArray[np.float64]]:
    """W_k^T per head, and each head's score units per unit of q'."""
    op, heads = group.attention, group.attention.attrs["heads"]
    w = np.asarray(graph.const(group.k.inputs[1]), np.float64)
    matrix = (w * _factors(group.k, graph)[:, None]).reshape(heads, -1, w.shape[1])
    matrix = np.swapaxes(matrix, 1, 2)  # [h, E, d]: score units per unit of q and of n
    step = np.maximum(np.abs(matrix).max(axis=2, keepdims=True), 1e-30) / 127
    weights = np.clip(np.floor(matrix / step + 0.5), -127, 127).astype(np.int8)
    q_max = 128 if graph.type(str(op.inputs[0])).dtype == "int8" else 32768
    most = np.abs(weights).sum(axis=2, dtype=np.int64) * q_max * step[:, :, 0]  # [h, E]
    unit = np.maximum(most.max(axis=1), 1e-30) / (_query_limit(graph, group) - 1)
    factors = (step[:, :, 0] / unit[:, None]).reshape(-1)
    sums = np.abs(weights).sum(axis=2, dtype=np.int64).max() * q_max
    none = np.zeros(factors.size)
    flat = weights.reshape(-1, weights.shape[2])
    return Sum(flat, none.astype(np.int64), factors, none, int(sums)), unit


def _attention(graph: Graph, group: Group, q: str, out: str) -> Op:
    op, heads, zp = group.attention, group.attention.attrs["heads"], int(group.k.attrs["x_zp"])
    attrs = dict(op.attrs) | {"kv_heads": 1, "k_zp": zp, "v_zp": zp, "pre_shift": 0}
    if graph.stage != STAGE:
        pre_shift, m = _score_multiplier(graph, group)
        attrs |= {
            "pre_shift": pre_shift,
            "m": m,
            "p_shift": _p_shift(graph.type(group.tokens).shape[0], _token_range(graph, group)),
            # the result is o over the sum, times 2^bits
            "o_mant": (1 << 14,) * heads,
            "o_exp": (29 - _mixed_bits(graph, group),) * heads,
        }
    inputs = (q, group.tokens, group.tokens, *op.inputs[3:])
    return op.replace(inputs=inputs, outputs=(out,), attrs=attrs)


def _score_multiplier(graph: Graph, group: Group) -> tuple[int, tuple[int, ...]]:
    """(pre_shift, m per head)"""
    op, width = group.attention, graph.type(group.tokens).shape[1]
    limit, reach = _query_limit(graph, group), _token_range(graph, group)
    room = max(0, (INT32_LIMIT // (limit * reach * width)).bit_length() - 1)
    unit = _up(graph, group)[1]
    steps = np.asarray(op.attrs["m"], np.float64) * 2.0 ** op.attrs["pre_shift"] * unit
    pre_shift = min(room, max(0, int(steps.max()).bit_length() - 31))  # no more than m needs
    m = np.floor(steps * 2.0**-pre_shift + 0.5)
    return pre_shift, tuple(int(v) for v in np.minimum(m, INT32_LIMIT))


def _p_shift(tokens: int, reach: int) -> int:
    shift = 0
    while (INT16_MAX >> shift) * tokens * reach > INT32_LIMIT:
        shift += 1
    return shift


def _mixed_bits(graph: Graph, group: Group) -> int:
    """Fraction bits of P N in int16, also such that W_v's sums stay below 2^31."""
    reach = _token_range(graph, group)
    unit = _unit(group.v)
    w = unit * np.abs(np.asarray(graph.const(group.v.inputs[1]), np.int64)).sum(axis=1)
    bias = unit * np.abs(np.asarray(graph.const(group.v.inputs[2]), np.int64))
    bits = (INT16_MAX // reach).bit_length() - 1
    while bits > 0 and int(((bias << bits) + w * (reach << bits)).max()) > INT32_LIMIT:
        bits -= 1
    return bits


def _unit(op: Op) -> int:
    """How often a weight counts in the kernel's accumulator."""
    return 16 if _bits(op) == 4 else 1


def _bits(op: Op) -> int:
    return int(op.attrs.get("weight_bits", 8))


def _down(graph: Graph, group: Group) -> Sum:
    """W_v of each head on P N, scaled as the attention's output was."""
    op, heads = group.attention, group.attention.attrs["heads"]
    bits = _mixed_bits(graph, group)
    w = np.asarray(graph.const(group.v.inputs[1]))
    bias = np.asarray(graph.const(group.v.inputs[2]), np.int64) << bits
    gain = np.asarray(op.attrs["o_mant"], np.float64) * 2.0 ** (
        15.0 - np.asarray(op.attrs["o_exp"])
    )
    gain = np.repeat(np.broadcast_to(gain, heads), w.shape[0] // heads)
    shift = group.v.attrs["shift"]
    offset = np.broadcast_to(np.asarray(graph.const(group.v.inputs[4]), np.float64), w.shape[0])
    rest = gain * (offset - 2.0 ** (shift - 1)) * 2.0**-shift
    reach = _token_range(graph, group) << bits
    sums = int((np.abs(bias) + np.abs(w.astype(np.int64)).sum(axis=1) * reach).max())
    return Sum(w, bias, gain * _factors(group.v, graph) * 2.0**-bits, rest, sums)


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
        values.update((key, constant(key, "int32", shape[:1])) for key in keys[1:])
    else:
        arrays, more = _constants(numbers(), out.dtype, op.attrs)
        for key, data in zip(keys, arrays, strict=True):
            values[key] = Value(key, TensorType(data.shape, str(data.dtype)), data)
        op = op.replace(attrs={**more, **op.attrs})
    values[op.outputs[0]] = Value(op.outputs[0], out)
    return op


def _constants(
    made: Sum, dtype: str, attrs: Mapping[str, int]
) -> tuple[tuple[NDArray, ...], dict[str, int]]:
    """w, bias, mult, offset and the shifts."""
    unit = 16 if attrs.get("weight_bits", 8) == 4 else 1
    factors, rest = made.factors, made.rest
    top = float(np.abs(factors).max()), float(np.abs(rest).max())
    acc_shift, shift = _shifts(*top, made.sums, dtype, unit)
    exact = factors * 2.0 ** (32 + shift - acc_shift)
    mult = (unit * np.floor(exact / unit + 0.5)).astype(np.int32)
    offset = (np.floor(rest * 2.0**shift + 0.5) + (1 << (shift - 1))).astype(np.int32)
    arrays = made.w, made.bias.astype(np.int32), mult, offset
    return arrays, {"x_zp": 0, "shift": shift, "acc_shift": acc_shift}


def _shifts(factor: float, rest: float, sums: int, dtype: str, unit: int) -> tuple[int, int]:
    """(acc_shift, shift): as many fraction bits as mult < 2^31 and t < 2^31 allow."""
    most_acc = max(0, (INT32_LIMIT // max(unit * sums, 1)).bit_length() - 1)
    top = factor * sums + rest + 1
    for shift in range(23 if dtype == "int8" else 15, 0, -1):
        if top * 2.0**shift >= 2.0**31:
            continue
        for acc_shift in range(most_acc + 1):
            if factor * 2.0 ** (32 + shift - acc_shift) < 2.0**31 - unit:
                return acc_shift, shift
    return most_acc, 1


def _unit_qparams() -> QParams:
    return QParams(np.array(1.0), np.array(0.0))
