"""`--activations auto`: which values get 16 bits, by what rounding each alone does to the outputs.

Where the outputs at 8 bits are good enough nothing changes. Else the values whose rounding costs
most get 16 bits, as few as bring the outputs there; the integer network is measured after each choice.
All is measured on every fourth sample, in networks that are calibrated with the others: on samples
that gave the ranges, nothing is ever out of range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_op, eval_steps
from mcuformer.ir.types import QParams
from mcuformer.operators.interpreter import run_int
from mcuformer.quant.assign import assign
from mcuformer.quant.assignment import Assignment, Formats
from mcuformer.quant.calibrate import CalibrationStats, collect
from mcuformer.quant.fine_parts import ENOUGH_DB
from mcuformer.quant.lower import lower
from mcuformer.quant.policy import Policy

_MOST = 64  # samples that trials take
_PARTS = 4
_TRIAL_SAMPLES = 4
_ROUNDS = 4
_Env = Mapping[str, NDArray]


@dataclass(frozen=True, slots=True)
class Wide:
    """A class of values with 16 bits; what its rounding to 8 bits alone leaves of the outputs, in dB."""

    members: tuple[str, ...]
    alone_db: float

    def why(self) -> str:
        others = f", with {len(self.members) - 1} that hold its numbers" if self.members[1:] else ""
        return f"16 bits{others}: 8 alone would leave {self.alone_db:.1f} dB of the outputs"


@dataclass(frozen=True, slots=True, eq=False)
class Widening:
    """`stats` whose graph says which values are wide; the dB before and after."""

    stats: CalibrationStats
    wide: tuple[Wide, ...] = ()
    narrow_db: float | None = None
    db: float | None = None

    def narrower(self) -> Widening:
        """The half of the values that costs most."""
        return _with(self.stats, self.wide[: len(self.wide) // 2], self.narrow_db, None)

    def notes(self) -> tuple[tuple[str, str], ...]:
        """(value, why) of what is wide, the dearest first; moves share the bits of what they move."""
        return tuple((w.members[0], w.why()) for w in self.wide)


def choose_wide(stats: CalibrationStats, formats: Formats) -> Widening:
    """By measurement; nothing is wide where there are no samples to measure with."""
    if stats.samples is None:
        return Widening(stats)
    part, samples = _parted(stats)
    reference = _floats(stats.graph, samples)
    narrow = _db(reference, _integers(part, formats, samples))
    if narrow >= ENOUGH_DB:
        return Widening(stats, (), narrow, narrow)
    ranked = _ranked(part, assign(part, "8", formats), [x[:_TRIAL_SAMPLES] for x in samples])
    count = _count(ranked, narrow)
    for later in reversed(range(_ROUNDS)):
        chosen = _with(part, ranked[:count], narrow, None)
        found = _db(reference, _integers(chosen.stats, formats, samples))
        if found >= ENOUGH_DB or count == len(ranked):
            break
        count = min(len(ranked), 2 * count) if later > 1 else len(ranked)
    return _with(stats, ranked[:count], narrow, found)


def _parted(stats: CalibrationStats) -> tuple[CalibrationStats, tuple[NDArray, ...]]:
    """Statistics of some samples, and others to measure with; fewer than four are both."""
    index = np.arange(min(stats.count, _MOST))
    if len(index) < _PARTS:
        return stats, stats.some(index)
    mine, rest = stats.some(index[index % _PARTS > 0]), stats.some(index[::_PARTS])
    return replace(stats, values=collect(stats.graph, mine), samples=mine), rest


def _with(
    stats: CalibrationStats, wide: Sequence[Wide], narrow: float | None, db: float | None
) -> Widening:
    names = tuple(name for w in wide for name in w.members)
    graph = stats.graph.replace(meta={**stats.graph.meta, "wide": names})
    return Widening(replace(stats, graph=graph), tuple(wide), narrow, db)


def _count(ranked: Sequence[Wide], narrow: float) -> int:
    """Of the dearest values, as many as leave less noise than is allowed, if noises add up."""
    noises = np.array([10 ** (-w.alone_db / 10) for w in ranked])
    left = 10 ** (-narrow / 10) - np.cumsum(noises)
    enough = np.flatnonzero(left <= 10 ** (-ENOUGH_DB / 10))
    return int(enough[0]) + 1 if len(enough) else len(ranked)


def _ranked(stats: CalibrationStats, plan: Assignment, samples: Sequence[NDArray]) -> list[Wide]:
    """All classes with 8 bits, the dearest first."""
    graph = stats.graph
    env: dict[str, NDArray] = dict(zip(graph.inputs, samples, strict=True))
    for op in graph.ops:
        env[op.outputs[0]] = eval_op(graph, op, env)
    classes = dict.fromkeys(plan.policies.values())
    found = [
        Wide(policy.members, _alone(graph, policy, plan.qparams, env))
        for policy in classes
        if plan.dtypes[policy.members[0]] == "int8"
    ]
    return sorted(found, key=lambda w: w.alone_db)


def _alone(graph: Graph, policy: Policy, grids: Mapping[str, QParams], env: _Env) -> float:
    """dB of the outputs where the members alone are rounded."""
    changed: dict[str, NDArray] = {
        n: _rounded(grids[n], env[n]) for n in policy.members if n in graph.inputs
    }
    for op in graph.ops:
        name = op.outputs[0]
        moved = any(n in changed for n in op.inputs)
        if moved:
            changed[name] = eval_op(graph, op, {**env, **changed})
        if name in policy.members:
            changed[name] = _rounded(grids[name], changed.get(name, env[name]))
    outputs = [(env[n], changed.get(n, env[n])) for n in graph.outputs]
    return _db([e for e, _ in outputs], [y for _, y in outputs])


def _rounded(grid: QParams, x: NDArray) -> NDArray[np.float32]:
    return grid.dequantise(grid.quantise(x, "int8")).astype(np.float32)


def _floats(graph: Graph, samples: Sequence[NDArray]) -> list[NDArray]:
    found: dict[str, NDArray] = dict(zip(graph.inputs, samples, strict=True))
    for op, env in eval_steps(graph, samples):
        if op.outputs[0] in graph.outputs:
            found[op.outputs[0]] = env[op.outputs[0]]
    return [found[name] for name in graph.outputs]


def _integers(
    stats: CalibrationStats, formats: Formats, samples: Sequence[NDArray]
) -> list[NDArray]:
    """What the outputs of the integer network stand for."""
    graph = lower(stats.graph, stats, "8", formats)
    pairs = zip(graph.inputs, samples, strict=True)
    ints = tuple(_grid(graph, n).quantise(x, graph.type(n).dtype) for n, x in pairs)
    values = run_int(graph, ints)
    return [_grid(graph, name).dequantise(values[name]) for name in graph.outputs]


def _grid(graph: Graph, name: str) -> QParams:
    grid = graph.type(name).qparams
    assert grid is not None
    return grid


def _db(reference: Sequence[NDArray], got: Sequence[NDArray]) -> float:
    """Of the output that is worst; what an output says whatever the sample is no signal."""
    found = []
    for e, y in zip(reference, got, strict=True):
        exact = e.astype(np.float64)
        signal = np.square(exact - exact.mean(axis=0) if len(exact) > 1 else exact).sum()
        noise = np.square(y.reshape(e.shape) - exact).sum()
        found.append(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-12 * signal, 1e-30)))
    return float(min(found))
