"""Which layers get 4-bit weights: all, or as few as the flash asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.flash_bytes import flash_bytes, matrix_bytes
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.grouped import is_depthwise
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.sensitivity import sensitivities


@dataclass(frozen=True, slots=True)
class WeightBits:
    """`bits` by operation (8 where it says nothing); `notes`: what a user should know about it."""

    bits: Mapping[str, int]
    notes: tuple[str, ...] = ()


def choose_bits(
    stats: CalibrationStats,
    wanted: str,
    room: Callable[[int], int | None],
    outline: Callable[[], Graph],
    keeps: Collection[str] = (),
    others: Sequence[CalibrationStats] = (),
    tied: Iterable[Sequence[str]] = (),
) -> WeightBits:
    """`wanted` "8", "4" or "auto"; `room(bytes of constants)` is the flash left for weight matrices
    (None: no limit), which "auto" keeps to while it can. `outline`: of the int graph at 8 bits
    (quant/lower.py), whose layers have their names from the float graph. `keeps`: layers that keep 8 bits;
    `others`: what else the same layers do, which counts as much; `tied`: layers that have the same bits."""
    graph = stats.graph
    if wanted == "8":
        return WeightBits({})
    layers = [op for op in graph.ops if op.kind in PRODUCERS]
    if wanted == "auto":
        shapes = outline()
        flash = flash_bytes(shapes)
        limit = room(flash.constants)
        excess = 0 if limit is None else flash.weights - limit
        if excess <= 0:
            return WeightBits({})
    if "qdq" in graph.meta:
        return WeightBits({}, ("the QDQ model brings int8 weights: they keep their 8 bits",))
    deep = [op for op in layers if is_depthwise(graph, op)]
    notes = tuple(f"{op.name} keeps 8-bit weights: depthwise convolutions have no int4 kernel"
                  for op in deep)  # fmt: skip
    able = [op for op in layers if op not in deep and op.name not in keeps]
    if wanted == "4":
        return WeightBits({op.name: 4 for op in able}, notes)
    macs = {op.name: layer_macs(graph, op) for op in layers}
    costs = [sensitivities(s, _named(s.graph, able), macs) for s in (stats, *others)]
    cost = {op.name: sum(c[op.name] for c in costs) for op in able}
    saved, follow = saved_bytes(shapes), dict[str, Sequence[str]]()
    for first, *rest in tied:
        follow[first] = [name for name in rest if name in cost]
        for name in follow[first]:
            saved[first] = saved.get(first, 0) + saved.pop(name, 0)
            cost[first] += cost[name]
    behind = {name for rest in follow.values() for name in rest}
    leading = cheapest(saved, [op for op in able if op.name not in behind], cost, excess)
    names = {n for op in leading for n in (op.name, *follow.get(op.name, ()))}
    chosen = [op for op in able if op.name in names]
    return WeightBits({op.name: 4 for op in chosen}, (*notes, _how(stats, chosen, layers)))


def _named(graph: Graph, like: Sequence[Op]) -> list[Op]:
    names = {op.name for op in like}
    return [op for op in graph.ops if op.name in names]


def _how(stats: CalibrationStats, chosen: Sequence[Op], layers: Sequence[Op]) -> str:
    by = (
        "the output error that calibration samples showed"
        if stats.samples is not None
        else "the rounding error of the weights (no calibration data: compile may choose others)"
    )
    return (f"{len(chosen)} of {len(layers)} layers have 4-bit weights to fit the flash, chosen "
            f"by {by} per byte saved")  # fmt: skip


def saved_bytes(outline: Graph) -> dict[str, int]:
    """Of the layers by name, the bytes that 4 bits save."""
    return {
        op.name: matrix_bytes(outline, op, 8) - matrix_bytes(outline, op, 4) for op in outline.ops
    }


def cheapest(
    saved: Mapping[str, int], layers: Iterable[Op], cost: Mapping[str, float], excess: int
) -> list[Op]:
    """Layers that save `excess` bytes (all, where they cannot) for a small sum of costs: greedily by
    cost per byte, then the dearest that the rest can do without go back."""
    chosen: list[Op] = []
    for op in sorted(layers, key=lambda op: cost[op.name] / max(saved.get(op.name, 0), 1)):
        if excess <= 0:
            break
        chosen.append(op)
        excess -= saved.get(op.name, 0)
    for op in sorted(chosen, key=lambda op: -cost[op.name]):
        if excess + saved.get(op.name, 0) <= 0:
            chosen.remove(op)
            excess += saved.get(op.name, 0)
    return chosen


def layer_macs(graph: Graph, op: Op) -> int:
    shape = graph.type(str(op.inputs[1])).shape
    return math.prod(graph.type(op.outputs[0]).shape) * math.prod(shape[:-1])
