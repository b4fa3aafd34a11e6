"""Grids that follow another: a value times or plus constants of its channels keeps its integers.

A BatchNorm that no layer could take is a mul and an add. What they write has a scale per channel, and
the scale that was there before, times the constant, is one: nothing is rounded again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.operands import channel_constant
from mcuformer.quant.policy import Policy, makers

_LEAST_FACTOR = 2.0**-10  # of the largest: a channel times 0 has a step, too
_FARTHEST = 2.0**15  # a zero point is a number of 16 bits


def followed_grid(graph: Graph, policy: Policy, done: Assignment) -> QParams | None:
    """Of a class with free scales per channel that one such mul or add makes; None of any other, and
    where padding needs a zero that is no integer of the grid."""
    made = makers(graph, policy.members, policy.chosen)
    if len(made) != 1 or policy.grain != "channel" or policy.dtype != "int8":
        return None
    op = made[0]
    constant = channel_constant(graph, op) if op.kind in ("mul", "add") else None
    given = graph.meta.get("qdq", {})
    if constant is None or not given.keys().isdisjoint(policy.members):
        return None
    x = next(str(n) for n in op.inputs if graph.const(n) is None)
    if done.dtypes[x] != "int8" or x not in done.qparams:
        return None
    found = _followed(op, done.qparams[x], constant)
    zero = found.zero_point
    if policy.zero and not (
        np.all(zero == np.rint(zero)) and np.all((zero >= -128) & (zero <= 127))
    ):
        return None
    return found if np.abs(zero).max() < _FARTHEST else None


def _followed(op: Op, x: QParams, constant: NDArray[np.float64]) -> QParams:
    """A negative factor turns the grid: -1 - q has the same ends as q."""
    scale, zero = (np.broadcast_to(a, constant.shape) for a in (x.scale, x.zero_point))
    if op.kind == "add":
        return QParams(scale.copy(), zero - constant / scale)
    least = _LEAST_FACTOR * max(float(np.abs(constant).max()), 1e-30)
    factor = np.maximum(np.abs(constant), least)
    return QParams(scale * factor, np.where(constant < 0, -1 - zero, zero))
