"""From an int graph to a placed Program: `build` is what compile, analyze and search call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import MemoryPlan, Region
from mcuformer.memory.plan import plan
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.build import Frame, assemble, frame
from mcuformer.schedule.choose import Memo, Point, trade_off
from mcuformer.schedule.program import Program
from mcuformer.schedule.select import MODES, select


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a model can trade: SRAM for instructions. `exact` is the frame of `graph` as it is."""

    graph: Graph
    input_mode: str
    exact: Frame
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The chosen program, its placement, and the point of the curve that it is.

    `graph` is the int graph that defines its numbers: the given one, or with absorbed attentions.
    """

    graph: Graph
    program: Program
    plan: MemoryPlan
    point: Point
    points: tuple[Point, ...]


def build(
    graph: Graph,
    regions: Sequence[Region],
    input_mode: str = "bands",
    optimize: str = "balanced",
    limit_bytes: int | None = None,
    max_instructions: int | None = None,
) -> Schedule:
    """`place` on the graph's own curve."""
    return place(curve(graph, input_mode), regions, optimize, limit_bytes, max_instructions)


def curve(graph: Graph, input_mode: str, memo: Memo | None = None) -> Curve:
    """`memo` may be shared between models (see trade_off)."""
    exact = frame(graph, input_mode)
    names = tuple(absorbable(graph))
    other = frame(absorb(graph, names), input_mode) if names else None
    return Curve(graph, input_mode, exact, tuple(trade_off(exact, other, memo)))


def place(
    trade: Curve,
    regions: Sequence[Region],
    optimize: str,
    limit_bytes: int | None = None,
    max_instructions: int | None = None,
) -> Schedule:
    """Schedule a model into the arena regions (what the board leaves after stack and static data).

    `limit_bytes` caps the arena further (`--ram` less stack and static data).
    Raises DoesNotFitError naming the block and the bytes missing.
    """
    graph, mode, points = trade.graph, trade.input_mode, trade.points
    room = sum(r.size_bytes for r in regions)
    most = room if limit_bytes is None else min(room, limit_bytes)
    limit = most
    while True:
        point = select(points, optimize, limit, max_instructions)
        chosen = _absorbed(trade.exact, point)
        reference = absorb(graph, chosen) if chosen else graph
        program = assemble(frame(reference, mode) if chosen else trade.exact, point.choices)
        made = plan(program, regions)
        if made.fits and made.arena_bytes <= most:
            return Schedule(reference, program, made, point, points)
        # Fragmentation, or a split memory: ask for a little less and place again.
        limit = point.limit_bytes - 1
        if limit < min(p.limit_bytes for p in points):
            layers = {layer.id: layer.name for layer in program.layers}
            at = layers.get(made.peak.layer, made.peak.kernel)
            raise DoesNotFitError(
                f"the arena needs {made.arena_bytes:,} B, free are {room:,} B: "
                f"{made.missing_bytes:,} B missing; peak of {made.peak.live_bytes:,} B at {at}",
                "try --input-mode bands, or a board with more SRAM",
            )


def _absorbed(fr: Frame, point: Point) -> list[str]:
    """Names of the attentions that run with absorbed weights."""
    pairs = zip(fr.regions, point.choices, strict=True)
    return [
        r.attention.name
        for r, c in pairs
        if r.attention is not None and c.schedule.startswith("absorbed")
    ]


__all__ = ["MODES", "Curve", "Schedule", "build", "curve", "place"]
