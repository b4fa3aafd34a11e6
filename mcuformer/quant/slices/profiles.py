"""Inputs of layers with a scale per channel: one profile for all widths, times one number per width.

A layer's integers stand for weights times the scales of its input's channels. Widths that share the
integers must therefore agree on the ratios of these scales; the steps as such go into requantisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.attention_grids import is_direct
from mcuformer.quant.slices.match import SlicePlaces, stacks_of
from mcuformer.util.names import printable


@dataclass(frozen=True, slots=True, eq=False)
class Width:
    """A prepared graph, its grids, and where its layers lie in the full network."""

    graph: Graph
    plan: Assignment
    places: SlicePlaces


def share_profiles(widths: Sequence[Width], full: int) -> list[NDArray[np.float64]]:
    """Per stack the scale profile of its input rows [K]; the plans follow it from here on."""
    stacks = [stacks_of(w.graph) for w in widths]
    return [_shared(widths, ops, full) for ops in zip(*stacks, strict=True)]


def _shared(widths: Sequence[Width], ops: Sequence[Sequence[Op]], full: int) -> NDArray[np.float64]:
    """Of one stack, given as its layers in each width; these may read other rows of the same values."""
    rows = _rows(widths[full].graph, ops[full][0])
    grids = [
        [w.plan.qparams[str(op.inputs[0])] for op in layers]
        for w, layers in zip(widths, ops, strict=True)
    ]
    profile = np.ones(rows)
    if all(np.ptp(g.scale) == 0 for own in grids for g in own):
        return profile
    if ops[full][0].kind != "linear":
        known = grids[full][0].scale
        if all(np.array_equal(own[0].scale, known) for own in grids):  # pixels
            return np.asarray(np.tile(known / known.mean(), rows // len(known)), np.float64)
        raise _unsupported(ops[full][0])
    profile = np.zeros(rows)
    spans = [
        slice(w.places[o[0].name].column, w.places[o[0].name].column + _rows(w.graph, o[0]))
        for w, o in zip(widths, ops, strict=True)
    ]
    for span, own in zip(spans, grids, strict=True):
        for grid in own:
            scale = np.broadcast_to(grid.scale, profile[span].shape)
            profile[span] = np.maximum(profile[span], scale / np.exp(np.log(scale).mean()))
    for width, layers, span in zip(widths, ops, spans, strict=True):
        for op in {op.inputs[0]: op for op in layers}.values():
            _follow(width, op, profile[span])
    return profile


def _rows(graph: Graph, op: Op) -> int:
    shape = graph.type(str(op.inputs[1])).shape
    return int(np.prod(shape[:-1]))


def _follow(width: Width, op: Op, profile: NDArray) -> None:
    """The grid of the layer's input becomes `profile` times the least number that cuts nothing."""
    plan, x = width.plan, str(op.inputs[0])
    if x in plan.multiples:
        raise _unsupported(op)
    old = plan.qparams[x]
    new = _times(old, profile)
    for name in plan.policies[x].members:
        plan.qparams[name] = new
    producer = width.graph.producers().get(x)
    attended = producer is not None and producer.kind == "attention"
    if attended and producer is not None and is_direct(width.graph, producer, plan):
        v, ratios = str(producer.inputs[2]), plan.ratios[producer.name]
        ratio = np.repeat(ratios, len(profile) // len(ratios))
        for name in plan.policies[v].members:
            plan.qparams[name] = QParams(new.scale * ratio, new.zero_point / ratio)


def _times(old: QParams, profile: NDArray) -> QParams:
    """Integral zero points stay integral."""
    scale = profile * float(np.max(old.scale / profile))
    zero = np.broadcast_to(old.zero_point, scale.shape) * old.scale / scale
    whole = np.all(old.zero_point == np.rint(old.zero_point))
    return QParams(scale, np.rint(zero) if whole else zero)


def _unsupported(op: Op) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{printable(op.name)} reads channels with scales of their own, which widths cannot share",
        "operating points take vision transformers with a patch embedding",
    )
