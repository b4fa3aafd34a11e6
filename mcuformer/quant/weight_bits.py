"""Which layers get 4-bit weights: all, or as few as the flash asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels.shapes import round4
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.rewrites.expand_groups import is_depthwise
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.sensitivity import sensitivities

TABLE_BYTES = 8192  # of a function behind a layer, at most
CHANNEL_BYTES = 16  # bias, multiplier, offset and residual multiplier of an output channel


@dataclass(frozen=True, slots=True)
class WeightBits:
    """`bits` by operation (8 where it says nothing); `notes`: what a user should know about it."""

    bits: Mapping[str, int]
    notes: tuple[str, ...] = ()


def choose_bits(
    stats: CalibrationStats, wanted: str, room: Callable[[int], int | None]
) -> WeightBits:
    """`wanted` "8", "4" or "auto"; `room(bytes of constants)` is the flash left for weight matrices
    (None: no limit), which "auto" keeps to while it can."""
    graph = stats.graph
    if wanted == "8":
        return WeightBits({})
    layers = [op for op in graph.ops if op.kind in PRODUCERS]
    whole = sum(weight_bytes(graph, op, 8) for op in layers)
    limit = room(constant_bytes(graph))
    excess = 0 if limit is None else whole - limit
    if wanted == "auto" and excess <= 0:
        return WeightBits({})
    if "qdq" in graph.meta:
        return WeightBits({}, ("the QDQ model brings int8 weights: they keep their 8 bits",))
    able = [op for op in layers if not _is_depthwise(graph, op)]
    notes = tuple(f"{op.name} keeps 8-bit weights: depthwise convolutions have no int4 kernel"
                  for op in layers if op not in able)  # fmt: skip
    if wanted == "4":
        return WeightBits({op.name: 4 for op in able}, notes)
    cost = sensitivities(stats, able, {op.name: layer_macs(graph, op) for op in layers})
    chosen = cheapest(graph, able, cost, excess)
    return WeightBits({op.name: 4 for op in chosen}, (*notes, _how(stats, chosen, layers)))


def _how(stats: CalibrationStats, chosen: Sequence[Op], layers: Sequence[Op]) -> str:
    by = (
        "the output error that calibration samples showed"
        if stats.samples is not None
        else "the rounding error of the weights (no calibration data: compile may choose others)"
    )
    return (f"{len(chosen)} of {len(layers)} layers have 4-bit weights to fit the flash, chosen "
            f"by {by} per byte saved")  # fmt: skip


def cheapest(
    graph: Graph, layers: Iterable[Op], cost: Mapping[str, float], excess: int
) -> list[Op]:
    """Layers that save `excess` bytes (all, where they cannot) for a small sum of costs: greedily by
    cost per byte, then the dearest that the rest can do without go back."""
    saved = {op.name: weight_bytes(graph, op, 8) - weight_bytes(graph, op, 4) for op in layers}
    chosen: list[Op] = []
    for op in sorted(layers, key=lambda op: cost[op.name] / max(saved[op.name], 1)):
        if excess <= 0:
            break
        chosen.append(op)
        excess -= saved[op.name]
    for op in sorted(chosen, key=lambda op: -cost[op.name]):
        if excess + saved[op.name] <= 0:
            chosen.remove(op)
            excess += saved[op.name]
    return chosen


def _is_depthwise(graph: Graph, op: Op) -> bool:
    group = op.attrs.get("group", 1)
    return group > 1 and is_depthwise(graph, group, str(op.inputs[1]))


def weight_bytes(graph: Graph, op: Op, bits: int) -> int:
    """Packed matrix of a weighted layer: channels and pieces of K (image lines) padded to fours."""
    shape = graph.type(str(op.inputs[1])).shape
    if _is_depthwise(graph, op):
        return math.prod(shape)
    pieces = shape[0] if op.kind == "patch_embed" else 1
    return round4(shape[-1]) * pieces * round4(math.prod(shape[:-1]) // pieces) * bits // 8


def layer_macs(graph: Graph, op: Op) -> int:
    shape = graph.type(str(op.inputs[1])).shape
    return math.prod(graph.type(op.outputs[0]).shape) * math.prod(shape[:-1])


def constant_bytes(graph: Graph) -> int:
    """What the network keeps in flash beside weight matrices, not underestimated."""
    total, functions = 0, set()
    for op in graph.ops:
        if op.kind in PRODUCERS:
            total += CHANNEL_BYTES * round4(graph.type(str(op.inputs[1])).shape[-1]) + 96
            functions.add((op.attrs.get("fn"), op.outputs[0]))
            rest = op.inputs[3:]
        else:
            total += 6 * graph.type(op.outputs[0]).shape[-1] + 96
            rest = op.inputs
        total += sum(
            2 * math.prod(graph.type(n).shape) for n in rest if n and graph.values[n].is_const
        )
    tables = sum(fn is not None and clamp_bounds(fn) is None for fn, _ in functions)
    return total + TABLE_BYTES * tables
