"""The numbers of an attention with absorbed weights: W_k^T q, its scores, and W_v on P N.

Three roundings stand between the layers that go and those that come, each as fine as 32 bits allow:
q' = W_k^T q in int16, no larger than scores in int32 permit (`numbers_of_keys`); P N in int16 with as many fraction
bits as the sums of W_v permit (`mixed_bits`, `numbers_of_values`); and the multipliers of both layers (`constants`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels.linear_cost import weight_bits

INT16_MAX = 32767
INT32_LIMIT = 2**31 - 1
_BIAS_BITS = 22  # of what the offset of v is in a bias: P N has up to 7 more


@dataclass(frozen=True, slots=True)
class Group:
    """An attention and the two linear layers that make its k and v out of the same int8 tokens."""

    attention: Op
    k: Op
    v: Op

    @property
    def tokens(self) -> str:
        return str(self.k.inputs[0])


@dataclass(frozen=True, slots=True)
class Sum:
    """The numbers of a q_linear with y = round(acc * factors); |acc| <= sums."""

    w: NDArray
    bias: NDArray
    factors: NDArray[np.float64]
    sums: int


def numbers_of_keys(graph: Graph, group: Group) -> tuple[Sum, NDArray[np.float64]]:
    """W_k^T per head, and each head's score units per unit of q'."""
    op, heads = group.attention, group.attention.attrs["heads"]
    w = np.asarray(graph.const(group.k.inputs[1]), np.float64)
    matrix = (w * _factors(group.k, graph)[:, None]).reshape(heads, -1, w.shape[1])
    matrix = np.swapaxes(matrix, 1, 2)  # [h, E, d]: score units per unit of q and of n
    step = np.maximum(np.abs(matrix).max(axis=2, keepdims=True), 1e-30) / 127
    weights = np.clip(np.floor(matrix / step + 0.5), -127, 127).astype(np.int8)
    q_max = 128 if graph.type(str(op.inputs[0])).dtype == "int8" else 32768
    most = np.abs(weights).sum(axis=2, dtype=np.int64) * q_max * step[:, :, 0]  # [h, E]
    unit = np.maximum(most.max(axis=1), 1e-30) / (query_limit(graph, group) - 1)
    factors = (step[:, :, 0] / unit[:, None]).reshape(-1)
    sums = np.abs(weights).sum(axis=2, dtype=np.int64).max() * q_max
    flat = weights.reshape(-1, weights.shape[2])
    return Sum(flat, np.zeros(factors.size, np.int64), factors, int(sums)), unit


def score_multiplier(graph: Graph, group: Group) -> tuple[int, tuple[int, ...]]:
    """(pre_shift, m per head)"""
    op, width = group.attention, graph.type(group.tokens).shape[1]
    limit, reach = query_limit(graph, group), token_range(graph, group)
    room = max(0, (INT32_LIMIT // (limit * reach * width)).bit_length() - 1)
    unit = numbers_of_keys(graph, group)[1]
    steps = np.asarray(op.attrs["m"], np.float64) * 2.0 ** op.attrs["pre_shift"] * unit
    pre_shift = min(room, max(0, int(steps.max()).bit_length() - 31))  # no more than m needs
    m = np.floor(steps * 2.0**-pre_shift + 0.5)
    return pre_shift, tuple(int(v) for v in np.minimum(m, INT32_LIMIT))


def numbers_of_values(graph: Graph, group: Group) -> Sum:
    """W_v of each head on P N, scaled as the attention's output was."""
    op, heads = group.attention, group.attention.attrs["heads"]
    bits = mixed_bits(graph, group)
    w, real, factors = _of_values(graph, group)
    bias = np.rint(real * 2.0**bits).astype(np.int64)
    gain = np.asarray(op.attrs["o_mant"], np.float64) * 2.0 ** (
        15.0 - np.asarray(op.attrs["o_exp"])
    )
    gain = np.repeat(np.broadcast_to(gain, heads), w.shape[0] // heads)
    reach = token_range(graph, group) << bits
    sums = int((np.abs(bias) + np.abs(w.astype(np.int64)).sum(axis=1) * reach).max())
    return Sum(w, bias, gain * factors * 2.0**-bits, sums)


def _of_values(graph: Graph, group: Group) -> tuple[NDArray, NDArray, NDArray[np.float64]]:
    """w, bias and factors of y = acc * factors, rounded, for the layer that makes v: its offset is in the bias,
    and a row whose steps are too fine for that has coarser ones."""
    v, shift = group.v, group.v.attrs["shift"]
    w, bias, factors = (
        np.asarray(graph.const(v.inputs[1])),
        graph.const(v.inputs[2]),
        _factors(v, graph),
    )
    rest = float(np.asarray(graph.const(v.inputs[4])).flat[0]) * 2.0**-shift - 0.5
    if not rest:
        return w, np.asarray(bias, np.float64), factors
    coarse = np.maximum(np.abs(factors), abs(rest) * unit_of(v) * 2.0**-_BIAS_BITS)
    coarse = np.where(factors < 0, -coarse, coarse)
    fewer = factors / coarse
    w = np.rint(w * fewer[:, None]).astype(np.int8)
    return w, np.asarray(bias, np.float64) * fewer + rest / coarse, coarse


def p_shift(tokens: int, reach: int) -> int:
    shift = 0
    while (INT16_MAX >> shift) * tokens * reach > INT32_LIMIT:
        shift += 1
    return shift


def mixed_bits(graph: Graph, group: Group) -> int:
    """Fraction bits of P N in int16, also such that W_v's sums stay below 2^31."""
    reach = token_range(graph, group)
    unit = unit_of(group.v)
    rows, real, _factors_of_rows = _of_values(graph, group)
    w = unit * np.abs(rows.astype(np.int64)).sum(axis=1)
    bias = unit * np.abs(real)
    bits = (INT16_MAX // reach).bit_length() - 1
    while bits > 0 and float(((bias + w * reach) * 2.0**bits).max()) + unit > INT32_LIMIT:
        bits -= 1
    return bits


def token_range(graph: Graph, group: Group) -> int:
    """Largest |n - zero point|."""
    return 128 + abs(int(group.k.attrs["x_zp"]))


def query_limit(graph: Graph, group: Group) -> int:
    """Largest magnitude of q' whose scores are proved to fit int32."""
    width = graph.type(group.tokens).shape[1]
    return min(INT16_MAX, INT32_LIMIT // (token_range(graph, group) * width))


def _factors(op: Op, graph: Graph) -> NDArray[np.float64]:
    """Real output units per accumulator unit, per channel."""
    mult = np.asarray(graph.const(op.inputs[3]), np.float64)
    return mult * 2.0 ** (op.attrs.get("acc_shift", 0) - 32 - op.attrs["shift"])


def unit_of(op: Op) -> int:
    """How often a weight counts in the kernel's accumulator."""
    return 16 if weight_bits(op) == 4 else 1


def constants(
    made: Sum, dtype: str, attrs: Mapping[str, int]
) -> tuple[tuple[NDArray, ...], dict[str, int]]:
    """w, bias, mult, offset and the shifts."""
    unit = 16 if attrs.get("weight_bits", 8) == 4 else 1
    factors = made.factors
    acc_shift, shift = _shifts(float(np.abs(factors).max()), made.sums, dtype, unit)
    exact = factors * 2.0 ** (32 + shift - acc_shift)
    mult = (unit * np.floor(exact / unit + 0.5)).astype(np.int32)
    offset = np.array([1 << (shift - 1)], np.int32)
    arrays = made.w, made.bias.astype(np.int32), mult, offset
    return arrays, {"x_zp": 0, "shift": shift, "acc_shift": acc_shift}


def _shifts(factor: float, sums: int, dtype: str, unit: int) -> tuple[int, int]:
    """(acc_shift, shift): as many fraction bits as mult < 2^31 and t < 2^31 allow."""
    most_acc = max(0, (INT32_LIMIT // max(unit * sums, 1)).bit_length() - 1)
    top = factor * sums + 1
    for shift in range(23 if dtype == "int8" else 15, 0, -1):
        if top * 2.0**shift >= 2.0**31:
            continue
        for acc_shift in range(most_acc + 1):
            if factor * 2.0 ** (32 + shift - acc_shift) < 2.0**31 - unit:
                return acc_shift, shift
    return most_acc, 1
