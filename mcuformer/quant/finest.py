"""The finest step that means something for a value that calibration saw (nearly) at one number.

A LayerNorm of one channel leaves beta; weights of zero leave a bias. The range of such a value is
nothing, and steps of nothing fit no shift, no multiplier and no zero point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import WEIGHTED

_OF_REACH = 2.0**-18  # what float32 sums and int32 offsets hold
_OF_GAMMA = 2.0**-16  # and what rounding leaves of equal channels is less
_OF_TERM = 2.0**-15  # of a sum's largest term: int8 times int8, one step of its accumulator
_OF_WEIGHT = 1.0 / 7  # int4 weights: a step of the accumulator is this much of a step of x
_OF_NOTHING = 2.0**-15  # of a value that never leaves 1e-9: as if it reached 1
_OF_OPERANDS = 2.0**-24  # what cancels in float32
_OF_PRODUCT = (
    2.0**-27
)  # of the largest product: int32 holds it in steps of the result, with two bits below
_BOUNDED = ("sigmoid", "hard_sigmoid", "tanh")  # however coarse their arguments are
_OF_ONE = 2.0**-12  # which is what they reach
_MOVES = ("slice", "gather", "reshape")


class Extremes(Protocol):
    """Extremes of a value, () or (C,) (quant/calibrate.py)."""

    @property
    def low(self) -> NDArray: ...
    @property
    def high(self) -> NDArray: ...


def finest_steps(graph: Graph, values: Mapping[str, Extremes]) -> dict[str, NDArray[np.float64]]:
    """Per activation (C,)."""
    done = {name: _of_reach(values[name]) for name in graph.inputs}
    for op in graph.ops:
        name = op.outputs[0]
        step = _of_reach(values[name])
        if op.kind == "layernorm":
            gamma = graph.const((*op.inputs, None)[1])
            step = np.maximum(step, _OF_GAMMA * (1.0 if gamma is None else np.abs(gamma)))
        x = str(op.inputs[0])
        if op.kind in _MOVES:
            same = done[x].shape == step.shape
            step = done[x] if same else np.maximum(step, done[x].min())
        if op.kind in ("mean", "add"):
            terms = [values[str(n)] for n in op.inputs if n in values]
            reach = max(float(np.abs([t.low, t.high]).max()) for t in terms)
            step = np.maximum(step, _OF_OPERANDS * reach)
        if op.kind == "mul":
            step = np.maximum(step, _of_product([values[str(n)] for n in op.inputs if n in values]))
        if op.kind in WEIGHTED:
            most = _OF_ONE if str(op.attrs.get("fn")).startswith(_BOUNDED) else math.inf
            step = np.maximum(step, np.minimum(_of_sum(graph, op, values[x], done[x]), most))
        done[name] = step
    return done


def _of_reach(value: Extremes) -> NDArray[np.float64]:
    reach = np.maximum(np.abs(value.low), np.abs(value.high)).astype(np.float64)
    return _OF_REACH * reach if reach.max() >= 1e-9 else np.full(reach.shape, _OF_NOTHING)


def _of_product(factors: Sequence[Extremes]) -> float:
    """Of two activations that each may be at its largest, though calibration saw no such pair."""
    reaches = [float(np.abs([f.low, f.high]).max()) for f in factors]
    return _OF_PRODUCT * math.prod(reaches) if len(reaches) == 2 else 0.0


def _of_sum(graph: Graph, op: Op, x: Extremes, finest: NDArray) -> NDArray[np.float64]:
    """What one step of the accumulator is worth, roughly, per output channel (N,)."""
    w = graph.const(op.inputs[1])
    assert w is not None
    step = np.maximum(_OF_TERM * (x.high - x.low), _OF_WEIGHT * finest.max())
    group = int(op.attrs.get("group", 1))
    columns = w.reshape(-1, step.size // group, group, w.shape[-1] // group)
    terms = np.abs(columns) * step.reshape(group, -1).T[None, :, :, None]
    return np.asarray(terms.max(axis=(0, 1)).reshape(-1), np.float64)
