"""How each class of values may be quantised, from who writes and who reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import JOINED, LOWERED, MOVES
from mcuformer.quant.classes import changes_channels, choices, moved_values, outshone, value_classes
from mcuformer.quant.operands import channel_constant
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.util.speed import record

Mode = Literal["8", "mixed", "16"]
Grain = Literal["tensor", "stream", "channel"]
STATISTICS = (
    "layernorm",
    "groupnorm",
    "rms",
)  # sums of squares over channels of scales of their own
Members = tuple[str, ...]


@record(frozen=True, slots=True, eq=False)
class Policy:
    """`grain`: one scale for all channels; per channel, integer multiples of one (LayerNorm reads
    it); per channel, free. `zero`: the range has to hold real 0 (padding, ReLU). `positive`: all
    numbers come out of ReLUs, so that real 0 is the least of them. `ceiling`: none is larger.
    `outshone`: members of which only what is larger than another one counts; `chosen`: operations that
    take the larger of two members."""

    members: tuple[str, ...]
    dtype: str
    grain: Grain
    zero: bool
    positive: bool
    ceiling: float
    outshone: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()

    @property
    def seen(self) -> Members:
        """The members whose numbers the grid has to hold."""
        return tuple(n for n in self.members if n not in self.outshone)


def policies(graph: Graph, mode: Mode) -> dict[str, Policy]:
    """Policy of every activation; members of a class share one object."""
    producers, consumers = graph.producers(), graph.consumers()
    table: dict[str, Policy] = {}
    classes = value_classes(graph)
    wide, selected = _asked_wide(graph, classes), choices(graph)
    hidden, names = outshone(graph, selected), {op.name for op in selected}
    for members in dict.fromkeys(classes.values()):
        writers = [producers[n] for n in members if n in producers]
        readers = [op for n in members for op in consumers.get(n, ())]
        dtype = "int16" if members in wide else _dtype(graph, mode, members, writers, readers)
        positive, ceiling, clamped = False, math.inf, False
        chosen = frozenset(op.name for op in writers if op.name in names)
        if any(clamp_bounds(op.attrs.get("fn")) for op in writers):
            positive, ceiling = _ends(makers(graph, members, chosen))
            clamped = True
        grain = _grain(graph, members, writers, readers, positive)
        if dtype == "int16" or (clamped and not _cut_by_saturation(positive, ceiling, grain)):
            grain = "tensor"
        zero = grain == "tensor" or positive or "conv2d" in (op.kind for op in readers)
        below = frozenset(hidden.intersection(members))
        policy = Policy(members, dtype, grain, zero, positive, ceiling, below, chosen)
        table.update((n, policy) for n in members)
    return table


def _asked_wide(graph: Graph, classes: Mapping[str, Members]) -> set[Members]:
    """Classes that get 16 bits whatever the mode: those named in meta["wide"], and those that a QDQ
    file gives as many. What an attention reads and writes has one type."""
    named = set(graph.meta.get("wide", ()))
    named |= {n for n, (_, _, dtype) in graph.meta.get("qdq", {}).items() if "16" in dtype}
    wide = {classes[n] for n in named if n in classes}
    attentions = [op for op in graph.ops if op.kind == "attention"] if wide else []
    count = -1
    while count < len(wide):
        count = len(wide)
        for op in attentions:
            held = [str(n) for n in (*op.inputs[:3], op.outputs[0])]
            joined = {classes[n] for n in held if n in classes}
            wide |= joined if joined & wide else set()
    return wide


def has_multiples(graph: Graph, policy: Policy) -> bool:
    """Whether the channels' scales are integer multiples of one; a QDQ model brings one for all."""
    free = graph.meta.get("qdq", {}).keys().isdisjoint(policy.members)
    return policy.grain == "stream" and policy.dtype == "int8" and free


def makers(graph: Graph, members: Members, chosen: AbstractSet[str]) -> list[Op]:
    """The operations that compute the numbers of a class; none where some are inputs or constants.
    `chosen`: see Policy."""
    producers, made = graph.producers(), list[Op]()
    for name in members:
        op = producers.get(name)
        if op is None:
            return []
        if op.name in chosen:
            continue
        if not moved_values(graph, op) or _may_overshoot(graph, op):
            made.append(op)
        elif op.kind in JOINED and any(graph.const(n) is not None for n in op.inputs):
            return []
    return made


def _may_overshoot(graph: Graph, op: Op) -> bool:
    """A resize of more than two taps has weights below 0 (cubic)."""
    return op.kind == "resize" and any(graph.type(str(n)).shape[1] > 2 for n in op.inputs[1:])


def _ends(made: list[Op]) -> tuple[bool, float]:
    """(positive, ceiling), see Policy."""
    functions = {op.attrs.get("fn") for op in made}
    positive = bool(functions) and functions <= {"relu", "relu6"}
    return positive, 6.0 if functions == {"relu6"} else math.inf


def _cut_by_saturation(positive: bool, ceiling: float, grain: Grain) -> bool:
    """Whether every channel's grid ends where the clamp cuts, whatever its scale."""
    return positive and (grain != "stream" or ceiling == math.inf)


def is_stream(members: tuple[str, ...], writers: list[Op], readers: list[Op]) -> bool:
    """Read by a LayerNorm, added to the result of a layer, or such a sum."""
    if any(op.kind == "add" or (op.kind in PRODUCERS and op.inputs[3]) for op in writers):
        return True
    return any(
        op.kind in ("layernorm", "groupnorm", "add")
        or (op.kind != "attention" and any(n in members for n in op.inputs[3:4]))
        for op in readers
    )


def _dtype(
    graph: Graph, mode: Mode, members: tuple[str, ...], writers: list[Op], readers: list[Op]
) -> str:
    written = {op.kind for op in writers}
    if mode == "16" or "argmax" in written or any(op.attrs.get("masks") for op in writers):
        return "int16"
    if "attention" in written or any(op.kind == "attention" for op in readers):
        return "int8"
    is_output = not set(members).isdisjoint(graph.outputs)
    if any(_wide(op) for op in (*writers, *readers)):
        return "int16"
    norm = not written.isdisjoint(("layernorm", "groupnorm"))
    if mode == "mixed" and (is_output or norm or is_stream(members, writers, readers)):
        return "int16"
    shapes = [graph.type(n).shape for n in members]
    if any(len(shape) != 2 or shape[0] != 1 for shape in shapes):
        return "int8"
    return "int8" if is_output or not set(members).isdisjoint(graph.inputs) else "int16"


def _wide(op: Op) -> bool:
    return op.kind in LOWERED and LOWERED[op.kind][0].wide


def _one_scale(op: Op) -> str:
    return LOWERED[op.kind][0].one_scale if op.kind in LOWERED else ""


def _grain(
    graph: Graph, members: tuple[str, ...], writers: list[Op], readers: list[Op], positive: bool
) -> Grain:
    """`positive`: one zero point serves all channels, as a product of activations wants it."""
    ends = {*graph.outputs, *graph.inputs, *graph.meta.get("even", ())}
    if not ends.isdisjoint(members):
        return "tensor"
    tables = any(
        op.attrs.get("fn") is not None and clamp_bounds(op.attrs["fn"]) is None
        for op in writers
        if op.kind != "unary"
    )
    scalar_writer = any(
        _one_scale(op) in ("out", "both") or (op.kind == "layernorm" and len(op.inputs) == 1)
        for op in writers
    )
    if tables or scalar_writer:
        return "tensor"
    scalar_reader = any(
        _one_scale(op) in ("in", "both")
        or (op.kind == "mul" and channel_constant(graph, op) is None and not positive)
        for op in readers
    )
    moves = (op for op in (*writers, *readers) if op.kind in MOVES)
    if scalar_reader or any(changes_channels(graph, op) for op in moves):
        return "tensor"
    return "stream" if any(op.kind in STATISTICS for op in readers) else "channel"
