"""`lower_tasks`: one frozen network with adapters for several tasks, as integer graphs that share its weights.

ARC (arXiv 2310.06234) puts `x' = x + ((x W) * c) W^T + b` and a head of its own behind each task; all other
layers are the same in every file. Here they get the same integers, biases and grids (docs/adr/0014): grids
are those of all tasks' samples together, with room, and each layer of the network is rounded once for what
arrives in all of them. A task keeps its adapters and its head. What an adapter reads has one scale, and of its
codes the largest of a row is positive, so that c is in the multipliers and all blocks have the same codes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.assign import assign
from mcuformer.quant.assignment import Assignment, Formats
from mcuformer.quant.calibrate import CalibrationStats, ValueStats
from mcuformer.quant.gptq import feedback, full_scale, gptq, round_weights, weight_scale
from mcuformer.quant.held_out import Groups
from mcuformer.quant.lower import lower_by_plan, ready
from mcuformer.quant.policy import Mode
from mcuformer.quant.refine import Arrived, IntWeights, alone, taken
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.stored import stored
from mcuformer.util.names import printable

GRIDS = "task_grids"  # in the meta of an integer graph: the assignment as text (quant/stored.py)
ROOM = 1.05  # times the range of all tasks' samples together
_HINT = "tasks are what `mcuformer adapt` made of one network, exported without --fold"


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedTask:
    """A canonical graph and its statistics over the task's own samples."""

    graph: Graph
    stats: CalibrationStats


def lower_tasks(
    tasks: Sequence[AdaptedTask],
    activations: Mode,
    formats: Formats,
    bits: Mapping[str, int] | None = None,
) -> list[Graph]:
    """One integer graph per task; `bits` of the network's layers by name, 8 where it says nothing.
    UsageError where they are not adaptations of one network."""
    stats = [ready(t.stats, formats) for t in tasks]
    own = own_layers([s.graph for s in stats])
    even = adapter_values(stats[0].graph)
    common = together([s.values for s in stats])
    known = [replace(s, graph=evened(s.graph, even), values=common_to(s, common)) for s in stats]
    roomy = {name: with_room(v) for name, v in known[0].values.items()}
    plan = assign(replace(known[0], values=roomy), activations, formats)
    made = lower_onto(tasks, known, plan, own, activations, formats, bits or {})
    if activations != "8":
        return made
    text = stored(plan, 8)
    return [g.replace(meta={**g.meta, GRIDS: text}) for g in made]


def lower_onto(
    tasks: Sequence[AdaptedTask],
    known: Sequence[CalibrationStats],
    plan: Assignment,
    own: Collection[str],
    activations: Mode,
    formats: Formats,
    bits: Mapping[str, int],
) -> list[Graph]:
    """On the grids of `plan`: each for itself first, to see what arrives, then with what all have in common."""
    recorders = [Arrivals() for _ in tasks]
    for task, stats, record in zip(tasks, known, recorders, strict=True):
        lower_by_plan(task.graph, stats, plan, activations, formats, bits, record)
    shared = {
        name: _rounded_together([r.seen[name] for r in recorders])
        for name in recorders[0].seen
        if name not in own
    }
    taker = SharedRounding(shared, frozenset(own) - set(ends_of(known[0].graph)))
    return [
        lower_by_plan(task.graph, stats, plan, activations, formats, bits, taker)
        for task, stats in zip(tasks, known, strict=True)
    ]


def own_layers(graphs: Sequence[Graph]) -> frozenset[str]:
    """Operations whose numbers are the task's: adapters and what writes the outputs. UsageError where
    anything else differs."""
    first = graphs[0]
    allowed = {op.name for pair in adapters(first) for op in pair} | set(ends_of(first))
    for graph in graphs[1:]:
        if [(op.kind, op.name, op.inputs[:1]) for op in graph.ops] != [
            (op.kind, op.name, op.inputs[:1]) for op in first.ops
        ]:
            raise UsageError(f"{graph.name} has other layers than {first.name}", _HINT)
        for one, other in zip(first.ops, graph.ops, strict=True):
            if one.name not in allowed and not _same(first, one, graph, other):
                raise UsageError(
                    f"layer {printable(one.name)} of {graph.name} is not that of {first.name}",
                    _HINT,
                )
    return frozenset(allowed)


def adapters(graph: Graph) -> list[tuple[Op, Op]]:
    """(down, up) of every x + up(down(x)) of a prepared graph."""
    producers, found = graph.producers(), []
    for op in graph.ops:
        down = producers.get(str(op.inputs[0])) if op.kind == "linear" else None
        if down is None or down.kind != "linear" or down.attrs["fn"] or op.attrs["fn"]:
            continue
        if op.inputs[3] is not None and down.inputs[0] == op.inputs[3] and down.inputs[3] is None:
            found.append((down, op))
    return found


def adapter_values(graph: Graph) -> frozenset[str]:
    """What adapters read, and their bottlenecks."""
    return frozenset(str(n) for down, _ in adapters(graph) for n in (down.inputs[0], *down.outputs))


def together(tables: Sequence[Mapping[str, ValueStats]]) -> dict[str, ValueStats]:
    """Of all tasks' samples together; of values of other widths (logits) as the first task has them."""
    return {name: _joined([t[name] for t in tables]) for name in tables[0]}


def common_to(stats: CalibrationStats, common: Mapping[str, ValueStats]) -> dict[str, ValueStats]:
    """The common statistics, with the task's own where its value has another width."""
    return {
        name: common[name] if len(common[name].low) == len(v.low) else v
        for name, v in stats.values.items()
    }


def with_room(value: ValueStats) -> ValueStats:
    """A grid that follows from it is ROOM times as wide, about the middle of each channel."""
    middle = (value.low + value.high) / 2

    def moved(x: NDArray) -> NDArray:
        return np.asarray(middle + (x - middle) * ROOM, x.dtype)

    groups = value.groups and replace(value.groups, ends=moved(value.groups.ends))
    low, high = moved(value.low), moved(value.high)
    if value.low.min() >= 0:
        low = value.low
    return replace(value, low=low, high=high, rows=moved(value.rows), groups=groups)


@dataclass(slots=True)
class Arrivals:
    """A Rounding for one task alone, which keeps what arrives at each layer."""

    seen: dict[str, tuple[NDArray, NDArray, int, Arrived | None]] = field(default_factory=dict)

    def __call__(
        self, name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None
    ) -> IntWeights:
        found = alone(name, w, bias, bits, seen)
        brief = None if seen is None else Arrived(seen.rows, seen.y.mean(axis=0, dtype=np.float64))
        self.seen[name] = w, bias, bits, brief
        return found


@dataclass(frozen=True, slots=True, eq=False)
class SharedRounding:
    """A Rounding that gives each layer of the network what was found for all tasks; `even` layers are
    rounded so that one matrix times any factors per output has one set of codes."""

    shared: Mapping[str, IntWeights]
    even: Collection[str]

    def __call__(
        self, name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None
    ) -> IntWeights:
        if name in self.shared:
            return self.shared[name]
        if name not in self.even:
            return alone(name, w, bias, bits, seen)
        codes, scale = even_codes(w, bits)
        return taken(codes, scale, bias, seen)


def even_codes(w: NDArray, bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nearest integers [K, N] and scales (N,), negative where that makes the largest integer of an
    output positive."""
    top = w[np.abs(w).argmax(axis=0), np.arange(w.shape[1])]
    sign = np.where(top < 0, -1.0, 1.0)
    scale = full_scale(w * sign, bits)
    return round_weights(w * sign, scale, bits), scale * sign


def _rounded_together(parts: Sequence[tuple[NDArray, NDArray, int, Arrived | None]]) -> IntWeights:
    """One set of integers for what all tasks see at a layer, and one bias: the mean of those that suit each."""
    w, bias, bits, _ = parts[0]
    seen = [s for *_, s in parts if s is not None]
    if len(seen) < len(parts):
        scale = weight_scale(w, bits)
        return IntWeights(round_weights(w, scale, bits), scale, bias)
    total = np.zeros((len(w), len(w)))
    for one in seen:
        xx = one.rows.seen
        energy = float(np.einsum("kn,kn->", w, xx @ w)) / w.shape[1]
        total += xx / max(energy, 1e-30)
    scale = weight_scale(w, bits, np.diag(total))
    codes = gptq(w, feedback(total), scale, bits)
    biases = [one.y - one.rows.mean @ (codes * scale) for one in seen]
    return IntWeights(codes, scale, np.mean(biases, axis=0))


def evened(graph: Graph, names: Collection[str]) -> Graph:
    return graph.replace(meta={**graph.meta, "even": tuple(sorted(names))})


def ends_of(graph: Graph) -> list[str]:
    """The layers whose sums are outputs, or become one by moves."""
    producers, found = graph.producers(), []
    for name in graph.outputs:
        op = producers.get(name)
        while op is not None and op.kind not in PRODUCERS and op.kind == "reshape":
            op = producers.get(str(op.inputs[0]))
        if op is not None and op.kind in PRODUCERS:
            found.append(op.name)
    return found


def _same(first: Graph, one: Op, graph: Graph, other: Op) -> bool:
    """Whether both have the same constants."""
    if one.attrs != other.attrs or len(one.inputs) != len(other.inputs):
        return False
    for mine, theirs in zip(one.inputs, other.inputs, strict=True):
        a, b = first.const(mine), graph.const(theirs)
        if a is None or b is None:
            if a is not b:
                return False
        elif not np.array_equal(a, b):
            return False
    return True


def _joined(values: Sequence[ValueStats]) -> ValueStats:
    first = values[0]
    if any(len(v.low) != len(first.low) for v in values):  # one scale for all its channels
        wide = [np.array([v.low.min(), v.high.max()]) for v in values]
        low, high = min(w[0] for w in wide), max(w[1] for w in wide)
        width = len(first.low)
        flat = np.concatenate([v.rows.reshape(-1) for v in values])
        rows = flat[: flat.size // width * width].reshape(-1, width)
        finest = np.broadcast_to(max(np.max(v.finest) for v in values), first.low.shape)
        return ValueStats(np.full(width, low), np.full(width, high), rows, finest=finest)
    groups = [v.groups for v in values if v.groups is not None]
    return ValueStats(
        np.min([v.low for v in values], axis=0),
        np.max([v.high for v in values], axis=0),
        np.concatenate([v.rows for v in values]),
        finest=np.min([v.finest for v in values], axis=0),
        groups=_groups(groups) if len(groups) == len(values) else None,
    )


def _groups(parts: Sequence[Groups]) -> Groups:
    firsts = np.cumsum([0, *(len(g.ends) for g in parts)])
    return Groups(
        np.concatenate([g.ends for g in parts]),
        np.concatenate([g.of_row + n for g, n in zip(parts, firsts, strict=False)]),
        sum(g.samples for g in parts),
    )
