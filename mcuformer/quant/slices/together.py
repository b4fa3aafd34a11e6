"""`lower_together`: the integer graphs of all widths, whose weights are slices of one set of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.assign import assign
from mcuformer.quant.assignment import Formats
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.lower import lower_by_plan, ready
from mcuformer.quant.lower_linear import UNITS
from mcuformer.quant.policy import Mode
from mcuformer.quant.slices.joint import Codes, Recorder, Taker, WidthShare, round_jointly, steps_of
from mcuformer.quant.slices.match import SlicePlaces, matrix, stacks_of
from mcuformer.quant.slices.profiles import Width, share_profiles
from mcuformer.quant.slices.tables import snap_tables


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A canonical graph with meta["stream_blocks"], its statistics, and where its layers lie."""

    graph: Graph
    stats: CalibrationStats
    places: SlicePlaces


def lower_together(
    slices: Sequence[Slice],
    full: int,
    activations: Mode,
    formats: Formats,
    bits: Mapping[str, int],
) -> list[Graph]:
    """One graph per slice; `bits` by operation of the `full`-th. First each is lowered for itself, on
    grids that agree on profiles, to see what arrives at its layers; then with the common integers."""
    stats = [ready(s.stats, formats) for s in slices]
    plans = [assign(s, activations, formats) for s in stats]
    widths = [Width(s.graph, p, one.places) for s, p, one in zip(stats, plans, slices, strict=True)]
    for width in widths:
        snap_tables(width.graph, width.plan)
    profiles = share_profiles(widths, full)
    named = [_bits(w.graph, widths[full].graph, bits) for w in widths]
    recorders = [Recorder(w.places) for w in widths]
    for one, known, width, own, record in zip(slices, stats, widths, named, recorders, strict=True):
        lower_by_plan(one.graph, known, width.plan, activations, formats, own, record)
    steps = [_steps(w, profiles) for w in widths]
    codes = _codes(widths, full, profiles, recorders, steps, bits)
    return [
        lower_by_plan(
            one.graph,
            known,
            width.plan,
            activations,
            formats,
            own,
            Taker(width.places, codes, step),
        )
        for one, known, width, own, step in zip(slices, stats, widths, named, steps, strict=True)
    ]


def _bits(graph: Graph, full: Graph, bits: Mapping[str, int]) -> dict[str, int]:
    """The same bits for the same layers."""
    pairs = zip(_layers(graph), _layers(full), strict=True)
    return {mine.name: bits[theirs.name] for mine, theirs in pairs if theirs.name in bits}


def _layers(graph: Graph) -> list[Op]:
    return [op for stack in stacks_of(graph) for op in stack]


def _steps(width: Width, profiles: Sequence[NDArray]) -> dict[str, NDArray]:
    found = {}
    for op in _layers(width.graph):
        place, scale = width.places[op.name], width.plan.qparams[str(op.inputs[0])].scale
        profile = profiles[place.stack][place.column :]
        found[op.name] = steps_of(place, float(np.reshape(scale, -1)[0] / profile[0]))
    return found


def _codes(
    widths: Sequence[Width],
    full: int,
    profiles: Sequence[NDArray],
    recorders: Sequence[Recorder],
    steps: Sequence[Mapping[str, NDArray]],
    bits: Mapping[str, int],
) -> list[Codes]:
    """Of every stack."""
    stacks = [stacks_of(w.graph) for w in widths]
    found = []
    for index, wide in enumerate(stacks[full]):
        parts = [
            _part(w, s[index], r, step)
            for w, s, r, step in zip(widths, stacks, recorders, steps, strict=True)
        ]
        own = {bits.get(op.name, 8) for op in wide}
        assert len(own) == 1, "layers that read the same value have the same bits"
        w = matrix(widths[full].graph, wide) * profiles[index][:, None]
        found.append(round_jointly(w, parts, own.copy().pop(), UNITS[own.pop()]))
    return found


def _part(
    width: Width, ops: Sequence[Op], recorder: Recorder, steps: Mapping[str, NDArray]
) -> WidthShare:
    place = width.places[ops[0].name]
    xx, _, w = recorder.seen[ops[-1].name]  # of all rows: a query may be asked of one alone
    return WidthShare(
        place.row,
        place.column,
        np.concatenate([steps[op.name] for op in ops]),
        xx,
        np.concatenate([recorder.seen[op.name][1] for op in ops]),
        len(w),
    )
