"""Scale, zero point and element type of every activation, before any operation is lowered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams
from mcuformer.quant.attention_scales import Limits, exchange, snap_ratio, value_scales
from mcuformer.quant.calibrate import CalibrationStats, ValueStats
from mcuformer.quant.policy import Mode, Policy, has_multiples, makers, policies
from mcuformer.quant.ranges import value_range

INT16_MARGIN = 1.25  # int16 has levels to spare for what calibration did not see
_STREAM_MAX = 127  # largest multiple `a` of a channel's scale


@dataclass(frozen=True, slots=True)
class InputFormat:
    """Raw uint8 pixels, real = (pixel / 255 - mean) / std per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def pair(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std."""
        return self.mean, self.std

    def qparams(self) -> QParams:
        std = np.asarray(self.std, np.float64)
        return QParams(1.0 / (255.0 * std), 255.0 * np.asarray(self.mean, np.float64))


Formats = InputFormat | Sequence[InputFormat | None] | None
"""Of the only input, or per input; None: quantised as the ONNX input itself."""


@dataclass(slots=True)
class Assignment:
    """`qparams`, `dtypes` per activation; `multiples` a[C] of streams; `ratios`, `limits` per attention.

    Policies, types and limits follow from structure (`typed`), the rest from statistics (`assign`).
    """

    policies: Mapping[str, Policy]
    qparams: dict[str, QParams] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    multiples: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    ratios: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)


def assign(stats: CalibrationStats, mode: Mode, input_format: Formats) -> Assignment:
    """Everything from the statistics; ranges given by a QDQ model already replaced theirs there."""
    graph = stats.graph
    formats = per_input(graph, input_format)
    pairs = [(n, fmt) for n, fmt in zip(graph.inputs, formats, strict=True) if fmt is not None]
    done = typed(graph, mode, [name for name, _ in pairs])
    for name, fmt in pairs:
        _assign_pixels(graph, name, fmt, done)
    for op in graph.ops:
        if op.kind == "attention":
            _assign_operands(stats, op, done)
    for name, policy in done.policies.items():
        if name not in done.qparams:
            _assign_class(stats, policy, done)
    return done


def typed(graph: Graph, mode: Mode, pixels: Sequence[str]) -> Assignment:
    """What structure decides of the prepared graph; the inputs `pixels` are raw uint8."""
    done = Assignment(policies(graph, mode))
    done.dtypes.update((name, policy.dtype) for name, policy in done.policies.items())
    for name in pixels:  # moves of pixels hold pixels
        done.dtypes.update((member, "uint8") for member in done.policies[name].members)
    for op in graph.ops:
        if op.kind == "attention":
            dtype = done.policies[str(op.inputs[1])].dtype
            done.limits[op.name] = operand_limits(graph, op, dtype)
            done.dtypes[str(op.inputs[0])] = dtype  # it may be a constant
    return done


def per_input(graph: Graph, formats: Formats) -> tuple[InputFormat | None, ...]:
    """One entry per input of the graph."""
    given = (formats,) if isinstance(formats, InputFormat) else tuple(formats or ())
    return (*given, *[None] * (len(graph.inputs) - len(given)))


def _assign_pixels(graph: Graph, name: str, fmt: InputFormat, done: Assignment) -> None:
    channels = graph.type(name).shape[-1]
    if len(fmt.mean) != channels or len(fmt.std) != channels or min(fmt.std) <= 0:
        raise UsageError(
            f"mean and std need {channels} numbers each (std positive), got "
            f"{list(fmt.mean)} and {list(fmt.std)}"
        )
    for member in done.policies[name].members:
        done.qparams[member] = fmt.qparams()


def _assign_class(stats: CalibrationStats, policy: Policy, done: Assignment) -> None:
    graph = stats.graph
    name = max(policy.members, key=lambda n: math.prod(graph.type(n).shape))
    value = merged(stats, policy, name)
    producers = graph.producers()
    producer = producers.get(name)
    if any(n in producers and producers[n].kind == "argmax" for n in policy.members):
        qparams = QParams(np.asarray(1.0), np.asarray(0.0))  # an index is the number itself
    elif policy.dtype == "int16":
        qparams = _int16(value)
    elif has_multiples(graph, policy):
        qparams, multiples = _stream(value, stats.method, policy.positive)
        done.multiples.update({n: multiples for n in policy.members})
    else:
        weights = reader_weights(graph, name) if policy.grain == "tensor" else None
        qparams = _int8(value, stats.method, policy, weights)
    if producer is not None and producer.kind == "layernorm" and len(producer.inputs) == 1:
        qparams = replace(qparams, scale=snap_scale(graph, producer, qparams.scale))
    if {op.kind for op in makers(graph, policy.members)} == {"softmax"}:
        qparams = softmax_qparams(policy.dtype)
    for n in policy.members:
        done.qparams[n] = qparams


def softmax_qparams(dtype: str) -> QParams:
    """All that a softmax can give: 0 to 1."""
    step, zero = (2.0**-15, 0.0) if dtype == "int16" else (2.0**-8, -128.0)
    return QParams(np.asarray(step), np.asarray(zero))


def merged(stats: CalibrationStats, policy: Policy, name: str) -> ValueStats:
    """Statistics of the largest member and extremes of all; or the widest range that is given."""
    given = [v for n in policy.members if (v := stats.values[n]).given]
    if given:
        return max(given, key=lambda v: float((v.high - v.low).max()))
    value = stats.values[name]
    width = len(value.low)
    others = [stats.values[n] for n in policy.members if len(stats.values[n].low) == width]
    low = np.min([v.low for v in others], axis=0)
    high = np.max([v.high for v in others], axis=0)
    finest = np.min([v.finest for v in others], axis=0)
    if policy.grain != "tensor":
        return ValueStats(low, high, value.rows, finest=finest)
    others = [stats.values[n] for n in policy.members]
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
    return np.asarray(np.maximum(scale, np.max(scale) / 128), np.float64)


def _stream(value: ValueStats, method: str, positive: bool) -> tuple[QParams, NDArray[np.int64]]:
    """Scales S * a[c], a in 1..127, with v = (x - z) * a inside int16; `positive`: 0 is the least."""
    low, high = value_range(value, method, 256, per_channel=True)
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
    return graph.type(op.outputs[0]).shape[-1] // int(op.attrs["groups"])


def gain(graph: Graph, op: Op, scale: float) -> tuple[int, int]:
    """(mant, exp) with G / scale = mant * 2^exp, mant in 2^14 .. 2^15 - 1."""
    real = group_size(graph, op) / scale
    exponent = math.floor(math.log2(real)) - 14
    return min(math.floor(real * 2.0**-exponent + 0.5), 32767), exponent


def _assign_operands(stats: CalibrationStats, op: Op, done: Assignment) -> None:
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
    largest = max(policy.members, key=lambda n: math.prod(stats.graph.type(n).shape))
    qparams, old = _symmetric(merged(stats, policy, largest), limit), done.qparams.get(name)
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


def operand_limits(graph: Graph, op: Op, dtype: str) -> Limits:
    """int8: 127. int16: as large as the proofs on scores and P V allow (ADR 0002)."""
    if dtype == "int8":
        return Limits(127, 127, 127)
    heads = int(op.attrs["heads"])
    depth = graph.type(str(op.inputs[0])).shape[1] // heads
    keys = graph.type(str(op.inputs[1])).shape[0] // op.attrs.get("windows", 1)
    score = min(32767, math.isqrt((2**31 - 1) // depth) - 1)
    p_shift = attention_p_shift(dtype, keys)
    return Limits(score, score, min(32767, (2**31 - 1) // (keys * (32767 >> p_shift))))


def attention_p_shift(dtype: str, keys: int) -> int:
    """Bits that probabilities give up: as few as the proof allows; int16 v has 11 bits or more."""
    shift = 0
    while (32767 >> shift) * keys * (128 if dtype == "int8" else 1024) >= 2**31:
        shift += 1
    return shift
