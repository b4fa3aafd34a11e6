"""What lowering knows about a float graph: ranges and sampled rows of every value, and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import Diagnostic, UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import Feeds, to_canonical
from mcuformer.quant.finest import finest_steps
from mcuformer.quant.held_out import GROUPS, Groups, groups_of
from mcuformer.quant.quotients import QuotientReaches
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.supported import check_supported

METHODS = ("minmax", "percentile", "mse")
_ROW_BUDGET = 2**19  # sampled numbers per value: 2 MB
_BATCH_BYTES = 2**27  # of the widest value in one batch
_BATCH = 32
_ROOM = 1.5
_LARGEST = 1e18  # its square is a float32 still


@dataclass(slots=True)
class ValueStats:
    """`low`, `high`: extremes per channel (C,); `rows`: a sample [R, C] of the value's rows.

    `given`: bits of a QDQ model's grid, whose ends the extremes are, not to be searched; 0: none. `finest`: no
    step is finer (quant/finest.py), (C,) or (). `groups` of the samples, of calibration (quant/held_out.py).
    """

    low: NDArray
    high: NDArray
    rows: NDArray[np.float32]
    given: int = 0
    finest: NDArray = field(default_factory=lambda: np.zeros(()))
    groups: Groups | None = None

    def cut(self, most: float) -> None:
        """Nothing larger than `most` counts."""
        self.low, self.high = np.maximum(self.low, -most), np.minimum(self.high, most)
        self.rows = np.clip(self.rows, -most, most)
        if self.groups is not None:
            self.groups = replace(self.groups, ends=np.clip(self.groups.ends, -most, most))


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationStats:
    """Statistics of the prepared `graph`; `samples` [N, ...] of every input in its layout, None if
    synthetic. `doubts`: what speaks against the samples (inputs/doubts.py). `labels`: their classes [N]."""

    graph: Graph
    method: str
    values: dict[str, ValueStats]
    samples: tuple[NDArray[np.float32], ...] | None = None
    doubts: tuple[Diagnostic, ...] = ()
    labels: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """Samples at hand."""
        return 0 if self.samples is None else len(self.samples[0])

    def some(self, index: slice | NDArray) -> tuple[NDArray[np.float32], ...]:
        """These samples of every input."""
        return tuple(x[index] for x in self.samples or ())


def calibrate(graph: Graph, samples: Feeds, method: str = "mse") -> CalibrationStats:
    """Run the float graph over `samples` (ONNX layout, [N, ...] per input); keep what lowering needs."""
    if method not in METHODS:
        raise UsageError(f"unknown calibration method {method!r}", f"one of {', '.join(METHODS)}")
    inputs = to_canonical(graph, samples)
    if not all(np.isfinite(x).all() for x in inputs):
        raise UsageError("the calibration samples hold NaN or infinite numbers")
    prepared = check_supported(prepare(graph))
    return CalibrationStats(prepared, method, collect(prepared, inputs), inputs)


def collect(graph: Graph, inputs: Sequence[NDArray]) -> dict[str, ValueStats]:
    """Statistics of every activation over the inputs, in batches."""
    rng = np.random.default_rng(0)
    values: dict[str, ValueStats] = {}
    widest = max(v.type.size_bytes for v in graph.values.values() if not v.is_const)
    batch = int(np.clip(_BATCH_BYTES // max(1, widest), 1, _BATCH))
    count = len(inputs[0])
    share, quotients = batch / count, QuotientReaches.of(graph)
    for first in range(0, count, batch):
        x = [a[first : first + batch] for a in inputs]
        group = np.arange(first, first + len(x[0])) * min(GROUPS, count) // count
        for name, a in zip(graph.inputs, x, strict=True):
            _update(values, name, a, share, group, rng)
        for op, env in eval_steps(graph, x):
            _update(values, op.outputs[0], env[op.outputs[0]], share, group, rng)
            quotients.see(op, env)
    for name, most in quotients.limits():
        values[name].cut(most)
    for name, step in finest_steps(graph, values).items():
        values[name].finest = step
    for name, (scale, zero, dtype) in graph.meta.get("qdq", {}).items():
        if name in values:
            values[name] = _given(values[name], float(scale), int(zero), dtype)
    return values


def _given(value: ValueStats, scale: float, zero: int, dtype: str) -> ValueStats:
    """The range that a QDQ model's scale and zero point span, instead of what was seen; its step is kept
    where the value has its bits."""
    info = np.iinfo(dtype)
    low, high = (np.full(value.low.shape, scale * (q - zero)) for q in (info.min, info.max))
    return ValueStats(low, high, value.rows, info.bits, value.finest)


def _update(
    values: dict[str, ValueStats],
    name: str,
    x: NDArray,
    share: float,
    group: NDArray,
    rng: np.random.Generator,
) -> None:
    """With a batch x, whose samples belong to `group`."""
    rows = x.reshape(-1, x.shape[-1])
    count = min(len(rows), max(1, round(share * max(1024, _ROW_BUDGET // rows.shape[1]))))
    picked = None if count == len(rows) else rng.choice(len(rows), count, replace=False)
    sample = rows if picked is None else rows[picked]
    groups = groups_of(x, group, picked)
    low, high = groups.ends[:, 0].min(axis=0), groups.ends[:, 1].max(axis=0)
    if not (low.min() > -_LARGEST and high.max() < _LARGEST):
        raise UsageError(
            f"{name} becomes NaN, infinite or larger than {_LARGEST:g} for the inputs that ranges "
            "are measured on",
            "run the model in floats on the calibration data, and mend the model or the data",
        )
    old = values.get(name)
    if old is None:
        values[name] = ValueStats(low, high, sample.copy(), groups=groups)
        return
    assert old.groups is not None
    old.groups = old.groups.and_also(groups)
    old.low, old.high = np.minimum(old.low, low), np.maximum(old.high, high)
    old.rows = np.concatenate([old.rows, sample])


def synthetic_stats(graph: Graph) -> CalibrationStats:
    """Plausible ranges without data: a few random inputs, no refinement.

    For `analyze`, and for the values of a QDQ model that have no scale of their own; those get
    some room, because real inputs reach further than random ones.
    """
    given = "qdq" in graph.meta
    inputs = _synthetic_inputs(graph, 16 if given else 2)
    prepared = check_supported(prepare(graph))
    values = collect(prepared, inputs)
    for value in values.values() if given else ():
        if not value.given:
            value.low, value.high = value.low * _ROOM, value.high * _ROOM
    return CalibrationStats(prepared, "minmax", values)


def _synthetic_inputs(graph: Graph, count: int) -> tuple[NDArray[np.float32], ...]:
    rng = np.random.default_rng(0)
    return tuple(_noise(graph, name, count, rng) for name in graph.inputs)


def _noise(graph: Graph, name: str, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Every other sample smooth; it fills the range that a QDQ model gives its input."""
    shape = graph.type(name).shape
    x = rng.normal(size=(count, *shape))
    for axis, n in enumerate(shape[:-1]):
        x[::2] = x[::2].take(np.arange(n) // 8 * 8, axis=axis + 1)
    if name not in graph.meta.get("qdq", {}):
        return np.clip(x, -2.5, 2.5).astype(np.float32)
    scale, zero, dtype = graph.meta["qdq"][name]
    low, high = (scale * (q - zero) for q in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    return np.clip((low + high) / 2 + x * (high - low) / 6, low, high).astype(np.float32)
