"""The grid of one class of values: scale and zero point from what calibration saw of its members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.calibrate import CalibrationStats, ValueStats
from mcuformer.quant.followed_grids import followed_grid
from mcuformer.quant.held_out import joined_ends
from mcuformer.quant.policy import Policy, has_multiples, makers
from mcuformer.quant.ranges import value_range

INT16_MARGIN = 1.25  # int16 has levels to spare for what calibration did not see
_STREAM_MAX = 127  # largest multiple `a` of a channel's scale


def assign_class(stats: CalibrationStats, policy: Policy, done: Assignment) -> None:
    graph = stats.graph
    producers = graph.producers()
    producer = producers.get(largest(graph, policy))
    followed = followed_grid(graph, policy, done)
    if followed is not None:
        qparams = followed
    elif any(n in producers and producers[n].kind == "argmax" for n in policy.members):
        qparams = QParams(np.asarray(1.0), np.asarray(0.0))  # an index is the number itself
    elif policy.dtype == "int16":
        qparams = _int16(merged(stats, policy, largest(graph, policy)))
    else:
        qparams, multiples = narrow_grid(stats, policy)
        if multiples is not None:
            done.multiples.update(dict.fromkeys(policy.members, multiples))
    if producer is not None and producer.kind == "layernorm" and len(producer.inputs) == 1:
        qparams = replace(qparams, scale=snap_scale(graph, producer, qparams.scale))
    made = {op.kind for op in makers(graph, policy.members, policy.chosen)}
    if made == {"softmax"} and (policy.dtype == "int16" or not _multiplied(graph, policy)):
        qparams = softmax_qparams(policy.dtype)
    for n in policy.members:
        done.qparams[n] = qparams


def narrow_grid(
    stats: CalibrationStats, policy: Policy
) -> tuple[QParams, NDArray[np.int64] | None]:
    """Of 8 bits, from the range of all members; multiples of a stream's channels (C,)."""
    graph, name = stats.graph, largest(stats.graph, policy)
    value = merged(stats, policy, name)
    if has_multiples(graph, policy):
        return _stream(value, stats.method, policy.positive)
    weights = reader_weights(graph, name) if policy.grain == "tensor" else None
    return _int8(value, stats.method, policy, weights), None


def largest(graph: Graph, policy: Policy) -> str:
    """The member whose rows stand for the class."""
    return max(policy.seen, key=lambda n: math.prod(graph.type(n).shape))


def _multiplied(graph: Graph, policy: Policy) -> bool:
    """Whether a product reads the class: of many tokens each weighs little, on the grid of 0 to 1 nothing."""
    readers = graph.consumers()
    return any(op.kind == "matmul" for n in policy.members for op in readers[n])


def softmax_qparams(dtype: str) -> QParams:
    """All that a softmax can give: 0 to 1."""
    step, zero = (2.0**-15, 0.0) if dtype == "int16" else (2.0**-8, -128.0)
    return QParams(np.asarray(step), np.asarray(zero))


def merged(stats: CalibrationStats, policy: Policy, name: str) -> ValueStats:
    """Statistics of the largest member and extremes of all; or the widest range that is given."""
    given = [v for n in policy.seen if (v := stats.values[n]).given]
    if given:
        return max(given, key=lambda v: float((v.high - v.low).max()))
    value = stats.values[name]
    if len(policy.seen) == 1 and policy.grain != "tensor":
        return value
    width = len(value.low)
    others = [stats.values[n] for n in policy.seen if len(stats.values[n].low) == width]
    low = np.min([v.low for v in others], axis=0)
    high = np.max([v.high for v in others], axis=0)
    finest = np.min([v.finest for v in others], axis=0)
    if policy.grain != "tensor":
        seen = [v.groups.ends for v in others if v.groups is not None]
        groups = value.groups and replace(value.groups, ends=reduce(joined_ends, seen))
        return ValueStats(low, high, value.rows, finest=finest, groups=groups)
    others = [stats.values[n] for n in policy.seen]
    low, high = np.minimum(low, _least(others)), np.maximum(high, -_least(others, -1.0))
    return ValueStats(low, high, _sample(value, others), finest=finest)


def _least(values: Sequence[ValueStats], sign: float = 1.0) -> float:
    """Of all numbers, or of their negatives."""
    return min(float((v.low if sign > 0 else -v.high).min()) for v in values)


def _sample(value: ValueStats, others: Sequence[ValueStats]) -> NDArray[np.float32]:
    """Rows of `value`, and the numbers of others that reach beyond it, in rows of the same width."""
    low, high = value.low.min(), value.high.max()
    beyond = [v.rows for v in others if v.low.min() < low or v.high.max() > high]
    width = value.rows.shape[1]
    flat = [r.reshape(-1)[: r.size // width * width].reshape(-1, width) for r in beyond]
    return np.concatenate([value.rows, *flat])


def _int16(value: ValueStats) -> QParams:
    if value.given > 8:  # -32768 and 32767 of a symmetric grid: its own scale
        reach = max(float(-np.min(value.low)) * (32767 / 32768), float(np.max(value.high)))
        return QParams(np.asarray(reach / 32767), np.asarray(0.0))
    reach = max(float(np.max(np.abs(value.low))), float(np.max(np.abs(value.high))), 1e-9)
    scale = max(reach * INT16_MARGIN / 32767, float(np.max(value.finest)))
    return QParams(np.asarray(scale), np.asarray(0.0))


def _int8(value: ValueStats, method: str, policy: Policy, weights: NDArray | None) -> QParams:
    per_channel = policy.grain == "channel"
    low, high = value_range(value, method, 256, per_channel, weights=weights)
    if value.given:
        low, high = low.min(), high.max()
    if policy.zero:
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    if not value.given:
        high = np.minimum(high, policy.ceiling)
    scale = lively(np.maximum(high - low, 1e-9) / 255)
    zero: NDArray[np.float64] = np.floor(-128 - low / scale + 0.5)
    return QParams(scale, zero)


def lively(scale: NDArray) -> NDArray[np.float64]:
    """No channel finer than 1/128 of the coarsest: one that calibration never moved may move."""
    return np.asarray(np.maximum(scale, scale.max() / 128), np.float64)


def _stream(value: ValueStats, method: str, positive: bool) -> tuple[QParams, NDArray[np.int64]]:
    """Scales S * a[c], a in 1..127, with v = (x - z) * a inside int16; `positive`: 0 is the least."""
    low, high = value_range(value, method, 256, per_channel=True, normalised=True)
    low = np.zeros_like(low) if positive else low
    wanted = lively(np.maximum(high - low, 1e-9) / 255)
    reach = np.maximum(np.maximum(np.abs(low), np.abs(high)), high - low)
    unit = max(float(wanted.max()) / _STREAM_MAX, float(reach.max()) * 1.05 / 32767)
    multiples = np.clip(np.ceil(wanted / unit - 0.25), 1, _STREAM_MAX).astype(np.int64)
    scale: NDArray[np.float64] = np.asarray(unit * multiples, np.float64)
    zero: NDArray[np.float64] = np.floor(-(low + high) / 2 / scale)
    return QParams(scale, np.full_like(zero, -128) if positive else zero), multiples


def reader_weights(graph: Graph, name: str) -> NDArray | None:
    """Per channel of `name`, the squared weights of the linear layers that read it, or None."""
    layers = [op for op in graph.consumers()[name] if op.kind == "linear" and op.inputs[0] == name]
    found = [graph.const(op.inputs[1]) for op in layers]
    energies = [np.square(w, dtype=np.float64).sum(axis=1) for w in found if w is not None]
    total = sum(energies) if energies else None
    return None if total is None or not np.any(total) else np.asarray(total)


def snap_scale(graph: Graph, op: Op, scale: NDArray) -> NDArray[np.float64]:
    """The nearest scale whose LayerNorm gain, G / s_y, is a 15-bit mantissa: no static error."""
    mant, exponent = gain(graph, op, float(scale))
    return np.asarray(group_size(graph, op) / (mant * 2.0**exponent))


def group_size(graph: Graph, op: Op) -> int:
    """Numbers that are normalised together."""
    rows, channels = graph.type(str(op.inputs[0])).shape
    return channels // int(op.attrs["groups"]) * (1 if op.kind == "layernorm" else rows)


def gain(graph: Graph, op: Op, scale: float) -> tuple[int, int]:
    """(mant, exp) with G / scale = mant * 2^exp, mant in 2^14 .. 2^15 - 1."""
    real = group_size(graph, op) / scale
    exponent = math.floor(math.log2(real)) - 14
    return min(math.floor(real * 2.0**-exponent + 0.5), 32767), exponent
