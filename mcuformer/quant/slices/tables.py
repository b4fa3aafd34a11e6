"""Layers that end in a table share few tables: their grids keep to steps of a quarter of an octave.

A table depends on the function and the grid of the result alone. Every width of every layer would
have one, 2 KB each; on common grids they are the same array. A step is at most 19 % coarser.
"""

from __future__ import annotations

import math

import numpy as np

from mcuformer.ir.functions import clamp_bounds, function
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS

_PER_OCTAVE = 4
_LOWEST = -128
_SPAN = np.linspace(-32.0, 32.0, 1 << 16)  # in which a function with a least number has it


def snap_tables(graph: Graph, plan: Assignment) -> None:
    """The grids of int8 results behind functions with a least number become common ones."""
    for op in graph.ops:
        fn = op.attrs.get("fn")
        y = op.outputs[0]
        if op.kind not in PRODUCERS or fn is None or clamp_bounds(fn) is not None:
            continue
        least = float(function(fn)(_SPAN).min())
        alone = set(plan.policies[y].members) == {y}
        if (
            plan.dtypes[y] == "int8"
            and alone
            and _ends(plan.qparams[y])[0] >= least - float(plan.qparams[y].scale)
        ):
            plan.qparams[y] = _snapped(plan.qparams[y], least)


def _ends(grid: QParams) -> tuple[float, float]:
    scale, zero = float(grid.scale), float(grid.zero_point)
    return scale * (_LOWEST - zero), scale * (_LOWEST + 255 - zero)


def _snapped(grid: QParams, least: float) -> QParams:
    """From `least` up to where `grid` ends, or a little further."""
    wanted = (_ends(grid)[1] - least) / 255
    scale = 2.0 ** (math.ceil(math.log2(wanted) * _PER_OCTAVE - 1e-9) / _PER_OCTAVE)
    zero = math.floor(_LOWEST - least / scale + 0.5)
    return QParams(np.asarray(scale), np.asarray(float(zero)))
