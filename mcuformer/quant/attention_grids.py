"""Grids of what attentions read and write: q, k, v and the result, as the score proof allows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.attention_scales import Magnitudes, exchange, snap_ratio, value_scales
from mcuformer.quant.calibrate import CalibrationStats, ValueStats
from mcuformer.quant.class_grids import largest, merged, reader_weights


def assign_operands(stats: CalibrationStats, op: Op, done: Assignment) -> None:
    """q, k, v and the output of one attention, as far as no other reader has a say."""
    graph = stats.graph
    q, k, v = (str(n) for n in op.inputs[:3])
    out, heads = op.outputs[0], int(op.attrs["heads"])
    dtype, limits = done.dtypes[k], done.limits[op.name]
    q_stats = query_stats(stats, q)
    free = {n for n in (q, k, v) if op.inputs[:3].count(n) == 1 and _is_free(graph, n, done)}
    if q in free and k in free:
        pair = exchange(q_stats, stats.values[k], heads, limits, stats.method)
        done.qparams[q], done.qparams[k] = pair
    else:
        _assign_shared(stats, q, limits.q, done)
        _assign_shared(stats, k, limits.k, done)
    weights = reader_weights(graph, out)
    out_limit = 127 if dtype == "int8" else 32000
    scale_v, ratio = value_scales(
        stats.values[v], stats.values[out], heads, limits, out_limit, stats.method, weights
    )
    if v in free:
        done.qparams[v] = scale_v
    else:
        ratio = np.ones(heads)
        _assign_shared(stats, v, limits.v, done)
    exact = snap_ratio(ratio)[2]
    done.ratios[op.name] = exact
    if is_direct(graph, op, done):
        done.qparams[out] = output_qparams(graph, op, done.qparams[v], exact)


def _assign_shared(stats: CalibrationStats, name: str, limit: int, done: Assignment) -> None:
    """One scale and zero point 0 for all values that hold the numbers of `name`.

    What several attentions read, or one as several of its operands, gets the coarsest scale.
    """
    if stats.graph.const(name) is not None:
        done.qparams[name] = _symmetric(query_stats(stats, name), limit)
        return
    policy = done.policies[name]
    value = merged(stats, policy, largest(stats.graph, policy))
    qparams, old = _symmetric(value, limit), done.qparams.get(name)
    if old is not None and float(np.max(old.scale)) > float(qparams.scale):
        qparams = old
    for n in policy.members:
        done.qparams[n] = qparams


def query_stats(stats: CalibrationStats, name: str) -> ValueStats:
    """Of q, which may be a constant (a learned query)."""
    data = stats.graph.const(name)
    if data is None:
        return stats.values[name]
    return ValueStats(data.min(axis=0), data.max(axis=0), data)


def _symmetric(value: ValueStats, limit: int) -> QParams:
    """One scale for all channels, zero point 0."""
    reach = max(float(np.abs(value.low).max()), float(np.abs(value.high).max()), 1e-9)
    return QParams(np.asarray(max(reach / limit, float(np.max(value.finest)))), np.asarray(0.0))


def output_qparams(graph: Graph, op: Op, v: QParams, ratio: NDArray[np.float64]) -> QParams:
    """Of the attention's own result: scale s_v / ratio, zero point ratio * zp_v, per channel."""
    width = graph.type(op.outputs[0]).shape[-1]
    per_channel = np.repeat(ratio, width // len(ratio))
    return QParams(v.scale / per_channel, v.zero_point * per_channel)


def is_direct(graph: Graph, op: Op, done: Assignment) -> bool:
    """Whether linear layers alone read the attention: they fold any scale and zero point."""
    out = op.outputs[0]
    readers = graph.consumers()[out]
    alone = len(done.policies[out].members) == 1 and out not in graph.outputs
    return alone and all(r.kind == "linear" and out not in r.inputs[2:] for r in readers)


def _is_free(graph: Graph, name: str, done: Assignment) -> bool:
    """Written per channel for this attention alone."""
    if graph.const(name) is not None:
        return True
    producer = graph.producers().get(name)
    if producer is None or len(graph.consumers()[name]) != 1 or name in graph.outputs:
        return False
    if len(done.policies[name].members) != 1:
        return False
    if producer.kind == "layernorm":
        return len(producer.inputs) > 1
    return producer.kind == "linear" and producer.attrs["fn"] is None


def operand_limits(graph: Graph, op: Op, dtype: str) -> Magnitudes:
    """int8: 127. int16: as large as the proofs on scores and P V allow (ADR 0002)."""
    if dtype == "int8":
        return Magnitudes(127, 127, 127)
    heads = int(op.attrs["heads"])
    depth = graph.type(str(op.inputs[0])).shape[1] // heads
    keys = graph.type(str(op.inputs[1])).shape[0] // op.attrs.get("windows", 1)
    score = min(32767, math.isqrt((2**31 - 1) // depth) - 1)
    p_shift = attention_p_shift(dtype, keys)
    return Magnitudes(score, score, min(32767, (2**31 - 1) // (keys * (32767 >> p_shift))))


def attention_p_shift(dtype: str, keys: int) -> int:
    """Bits that probabilities give up: as few as the proof allows; int16 v has 11 bits or more."""
    shift = 0
    while (32767 >> shift) * keys * (128 if dtype == "int8" else 1024) >= 2**31:
        shift += 1
    return shift
