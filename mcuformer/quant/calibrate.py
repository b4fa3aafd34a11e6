"""What lowering knows about a float graph: ranges and sampled rows of every value, and inputs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import to_canonical
from mcuformer.quant.float_eval import eval_steps
from mcuformer.quant.rewrites import prepare

METHODS = ("minmax", "percentile", "mse")
_ROW_BUDGET = 2**19  # sampled numbers per value: 2 MB
_BATCH_BYTES = 2**27  # of the widest value in one batch
_BATCH = 32


@dataclass(slots=True)
class ValueStats:
    """`low`, `high`: extremes per channel (C,); `rows`: a sample [R, C] of the value's rows."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationStats:
    """Statistics of the prepared `graph`; `samples` [N, ...] in its layout, None if synthetic."""

    graph: Graph
    method: str
    values: dict[str, ValueStats]
    samples: NDArray[np.float32] | None = None
    given: frozenset[str] = field(default_factory=frozenset)


def calibrate(
    graph: Graph, samples: NDArray, method: str = "mse", given: Collection[str] = (),
    trim: bool = True,
) -> CalibrationStats:
    """Run the float graph over `samples` (ONNX layout, [N, ...]) and keep what lowering needs.

    `given` names values whose scales a QDQ model fixes; see `rewrites.prepare` for `trim`.
    """
    if method not in METHODS:
        raise UsageError(f"unknown calibration method {method!r}", f"one of {', '.join(METHODS)}")
    inputs = to_canonical(graph, samples)
    if not np.isfinite(inputs).all():
        raise UsageError("the calibration samples hold NaN or infinite numbers")
    prepared = prepare(graph, given, trim)
    return CalibrationStats(
        prepared, method, collect(prepared, inputs), inputs, frozenset(given)
    )


def collect(graph: Graph, inputs: NDArray) -> dict[str, ValueStats]:
    """Statistics of every activation over the inputs, in batches."""
    rng = np.random.default_rng(0)
    values: dict[str, ValueStats] = {}
    widest = max(v.type.size_bytes for v in graph.values.values() if not v.is_const)
    batch = int(np.clip(_BATCH_BYTES // max(1, widest), 1, _BATCH))
    share = batch / len(inputs)
    for first in range(0, len(inputs), batch):
        x = inputs[first : first + batch]
        _update(values, graph.inputs[0], x, share, rng)
        for op, env in eval_steps(graph, x):
            _update(values, op.outputs[0], env[op.outputs[0]], share, rng)
    return values


def _update(
    values: dict[str, ValueStats], name: str, x: NDArray, share: float, rng: np.random.Generator
) -> None:
    rows = x.reshape(-1, x.shape[-1])
    count = min(len(rows), max(1, round(share * max(1024, _ROW_BUDGET // rows.shape[1]))))
    sample = rows if count == len(rows) else rows[rng.choice(len(rows), count, replace=False)]
    low, high = rows.min(axis=0), rows.max(axis=0)
    old = values.get(name)
    if old is None:
        values[name] = ValueStats(low, high, sample.copy())
        return
    old.low, old.high = np.minimum(old.low, low), np.maximum(old.high, high)
    old.rows = np.concatenate([old.rows, sample])


def synthetic_stats(graph: Graph, given: Collection[str] = ()) -> CalibrationStats:
    """Plausible ranges without data, for `analyze`: two smooth random inputs, no refinement."""
    rng = np.random.default_rng(0)
    shape = graph.type(graph.inputs[0]).shape
    coarse = rng.normal(size=(2, *(-(-n // 8) for n in shape[:-1]), shape[-1]))
    for axis, n in enumerate(shape[:-1]):
        coarse = np.repeat(coarse, 8, axis=axis + 1).take(np.arange(n), axis=axis + 1)
    inputs = np.clip(coarse, -2.5, 2.5).astype(np.float32)
    prepared = prepare(graph, given)
    return CalibrationStats(prepared, "minmax", collect(prepared, inputs), None, frozenset(given))
