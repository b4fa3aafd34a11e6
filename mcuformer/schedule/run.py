"""From an int graph to a placed Program: `build` is what compile, analyze and search call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph
from mcuformer.kernels.costs import CORTEX_M7, CostSet
from mcuformer.memory.model import MemoryPlan, Region
from mcuformer.memory.plan import extend, plan
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.build import Frame, assemble, frame
from mcuformer.schedule.measure import steps_instructions
from mcuformer.schedule.outline import outline
from mcuformer.schedule.program import Program
from mcuformer.schedule.repeat import Repeats, repeats
from mcuformer.schedule.select import MODES, select
from mcuformer.schedule.trade import Memo, Point, signature, trade_off


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a model can trade: SRAM for instructions.

    `exact` is the frame of the outline of `graph`, where choices were made; `frames` keeps those of
    `graph` itself by the attentions that are absorbed.
    """

    graph: Graph
    input_mode: str
    exact: Frame
    points: tuple[Point, ...]
    keys: tuple[object, ...] = ()  # of regions, equal for equal shapes
    frames: dict[tuple[str, ...], tuple[Graph, Frame]] = field(default_factory=dict)

    @property
    def costs(self) -> CostSet:
        return self.exact.emitter.costs

    def frame(self, absorbed: tuple[str, ...]) -> tuple[Graph, Frame]:
        """The graph with these attentions absorbed, and its frame."""
        if absorbed not in self.frames:
            whole = absorb(self.graph, absorbed) if absorbed else self.graph
            same = whole is self.exact.source
            made = self.exact if same else frame(whole, self.input_mode, self.costs)
            self.frames[absorbed] = whole, made
        return self.frames[absorbed]


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
    costs: CostSet = CORTEX_M7,
) -> Schedule:
    """`place` on the graph's own curve."""
    return place(curve(graph, input_mode, costs), regions, optimize, limit_bytes, max_instructions)


def curve(
    graph: Graph, input_mode: str, costs: CostSet = CORTEX_M7, memo: Memo | None = None
) -> Curve:
    """`costs`: of the board's core; `memo` may be shared between models (see trade_off)."""
    shapes = outline(graph)
    exact = frame(shapes, input_mode, costs)
    names = tuple(absorbable(graph))
    other = frame(absorb(shapes, names), input_mode, costs) if names else None
    keys = tuple(signature(exact, r) for r in exact.regions)
    points = tuple(trade_off(exact, other, memo, keys))
    known = {names: (other.source, other)} if other is not None and graph is shapes else {}
    return Curve(graph, input_mode, exact, points, keys, known)


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
    if max_instructions is None:
        found = fit(trade, regions, optimize, limit_bytes)
        return found.schedule(trade, regions)
    try:
        return _within(trade, regions, optimize, limit_bytes, max_instructions, max_instructions)
    except (
        DoesNotFitError
    ):  # the numbers of this model may also cost a little less than its outline
        slack = max_instructions // 16
        return _within(
            trade, regions, optimize, limit_bytes, max_instructions, max_instructions + slack
        )


def _within(
    trade: Curve, regions: Sequence[Region], optimize: str, limit_bytes: int | None,
    max_instructions: int, most: int,
) -> Schedule:  # fmt: skip
    """The first schedule whose own estimate keeps the limit, from points of up to `most`."""
    while True:
        found = fit(trade, regions, optimize, limit_bytes, most)
        made = found.schedule(trade, regions)
        if steps_instructions(made.program.steps) <= max_instructions:
            return made
        most = found.point.instructions - 1


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A point of the curve that fits; `program` has one of each kind of block, placed by `plan`."""

    graph: Graph
    frame: Frame
    point: Point
    program: Program
    plan: MemoryPlan
    repeats: Repeats
    made: dict[int, list[str]]  # region -> its own buffers in `program`

    def schedule(self, trade: Curve, regions: Sequence[Region]) -> Schedule:
        """All blocks, each where its twin lies."""
        made: dict[int, list[str]] = {}
        program = assemble(self.frame, self.point.choices, made=made)
        twins = {name: name for name in self.frame.emitter.buffers} | dict(self.repeats.crossing)
        for i, names in made.items():
            twins.update(zip(names, self.made[self.repeats.twin[i]], strict=True))
        whole = extend(program, regions, self.plan, twins)
        return Schedule(self.graph, program, whole, self.point, trade.points)


def fit(
    trade: Curve,
    regions: Sequence[Region],
    optimize: str,
    limit_bytes: int | None = None,
    max_instructions: int | None = None,
) -> Fit:
    """The point of the curve that `optimize` and the limits mean, placed."""
    points = trade.points
    room = sum(r.size_bytes for r in regions)
    most = room if limit_bytes is None else min(room, limit_bytes)
    limit = most
    while True:
        point = select(points, optimize, limit, max_instructions)
        graph, fr = trade.frame(_absorbed(trade.exact, point))
        same = repeats(fr, trade.keys, point.choices)
        own: dict[int, list[str]] = {}
        program = assemble(fr, point.choices, same.kept, own, priced=False)
        made = plan(program, regions)
        if made.fits and made.arena_bytes <= most:
            return Fit(graph, fr, point, program, made, same, own)
        # Fragmentation, or a split memory: ask for a little less and place again.
        limit = point.limit_bytes - 1
        if limit < min(p.limit_bytes for p in points):
            layers = {i: name for name, i in fr.emitter.layer_ids.items()}
            at = layers.get(made.peak.layer, made.peak.kernel)
            raise DoesNotFitError(
                f"the arena needs {made.arena_bytes:,} B, free are {room:,} B: "
                f"{made.missing_bytes:,} B missing; peak of {made.peak.live_bytes:,} B at {at}",
                "try --input-mode bands, or a board with more SRAM",
            )


def _absorbed(fr: Frame, point: Point) -> tuple[str, ...]:
    """Names of the attentions that run with absorbed weights."""
    pairs = zip(fr.regions, point.choices, strict=True)
    return tuple(
        r.attention.name
        for r, c in pairs
        if r.attention is not None and c.schedule.startswith("absorbed")
    )


__all__ = ["MODES", "Curve", "Schedule", "build", "curve", "place"]
