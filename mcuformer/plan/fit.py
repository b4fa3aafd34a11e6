"""From an int graph to a placed Program: `build` is what compile, analyze and search call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph
from mcuformer.kernels.costs import CORTEX_M7, CostSet
from mcuformer.memory.model import Arena, MemoryPlan
from mcuformer.memory.placement import extend, plan
from mcuformer.operators.outline import outline
from mcuformer.plan.assemble import Made, assemble, sketch
from mcuformer.plan.curve import CurvePoint, Memo, signature, tightened, trade_off
from mcuformer.plan.repeat import Repeats, repeats
from mcuformer.plan.select import DEAREST, MODES, reads_much, select, thriftier
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.program.program import Program
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.build import Skeleton, skeleton
from mcuformer.schedule.regions import Choice
from mcuformer.util.speed import keep

# CPU cycles for a byte of weights from a QSPI flash (two of its clocks, a third of the CPU's).
READ_PRICE = 6
GAPS = 0.02  # of the arena, between its buffers, are not worth another placement
TIGHTER = 4  # placements with less beside the peak
_KEPT = 4  # placements


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a model can trade: SRAM for instructions.

    `thrifty`: its points where reading weights has a price, made when they are asked for.
    `exact` is the skeleton of the outline of `graph`, where choices were made; `skeletons` keeps those of
    `graph` itself by the attentions that are absorbed, `placed` the last placements: what several modes
    choose is placed once.
    """

    graph: Graph
    input_mode: str
    book: CostBook
    exact: Skeleton
    points: tuple[CurvePoint, ...]
    thrifty: Callable[[], Sequence[CurvePoint]]
    keys: tuple[object, ...] = ()  # of regions, equal for equal shapes
    skeletons: dict[tuple[str, ...], tuple[Graph, Skeleton]] = field(default_factory=dict)
    placed: dict[object, Fit] = field(default_factory=dict)

    def skeleton(self, absorbed: tuple[str, ...]) -> tuple[Graph, Skeleton]:
        """The graph with these attentions absorbed, and its skeleton."""
        if absorbed not in self.skeletons:
            whole = absorb(self.graph, absorbed) if absorbed else self.graph
            same = whole is self.exact.source
            made = self.exact if same else skeleton(whole, self.input_mode, self.exact)
            self.skeletons[absorbed] = whole, made
        return self.skeletons[absorbed]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The chosen program, its placement, and the point of the curve that it is.

    `graph` is the int graph that defines its numbers: the given one, or with absorbed attentions.
    """

    graph: Graph
    program: Program
    plan: MemoryPlan
    point: CurvePoint
    points: tuple[CurvePoint, ...]


def build(
    graph: Graph,
    regions: Sequence[Arena],
    input_mode: str = "bands",
    optimize: str = "balanced",
    limit_bytes: int | None = None,
    max_instructions: int | None = None,
    costs: CostSet = CORTEX_M7,
) -> Schedule:
    """`place` on the graph's own curve, with a cost book of its own."""
    trade = curve(graph, input_mode, CostBook(costs))
    return place(trade, regions, optimize, limit_bytes, max_instructions)


def curve(graph: Graph, input_mode: str, book: CostBook, memo: Memo | None = None) -> Curve:
    """`memo` may be shared between models that are planned on one book (see trade_off)."""
    shapes = outline(graph)
    exact = skeleton(shapes, input_mode)
    names = tuple(absorbable(graph))
    other = skeleton(absorb(shapes, names), input_mode, exact) if names else None
    keys = tuple(signature(exact, r) for r in exact.regions)
    points = tuple(trade_off(book, exact, other, memo, keys))

    @cache
    def thrifty() -> Sequence[CurvePoint]:
        return trade_off(book, exact, other, memo, keys, READ_PRICE)

    known = {names: (other.source, other)} if other is not None and graph is shapes else {}
    return Curve(graph, input_mode, book, exact, points, thrifty, keys, known)


def place(
    trade: Curve,
    regions: Sequence[Arena],
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
    trade: Curve, regions: Sequence[Arena], optimize: str, limit_bytes: int | None,
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
    skeleton: Skeleton
    point: CurvePoint
    program: Program
    plan: MemoryPlan
    repeats: Repeats
    made: Made  # region -> its own buffers in `program`

    def schedule(self, trade: Curve, regions: Sequence[Arena]) -> Schedule:
        """All blocks, each where its twin lies."""
        program, made = assemble(self.skeleton, self.point.choices, trade.book)
        twins = {name: name for name in self.skeleton.emitter.buffers} | dict(self.repeats.crossing)
        for i, names in made.items():
            twins.update(zip(names, self.made[self.repeats.twin[i]], strict=True))
        whole = extend(program, regions, self.plan, twins)
        return Schedule(self.graph, program, whole, self.point, trade.points)


def fit(
    trade: Curve,
    regions: Sequence[Arena],
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
        if optimize == "ram" and reads_much(points, point):
            point = thriftier(points, trade.thrifty(), point, limit, max_instructions)
        found = _placed(trade, regions, point)
        if optimize == "ram":
            found = _denser(trade, regions, found, max_instructions)
        made = found.plan
        if made.fits and made.arena_bytes <= most:
            return found
        # Fragmentation, or a split memory: ask for a little less and place again.
        limit = point.limit_bytes - 1
        if limit < min(p.limit_bytes for p in points):
            layers = {i: name for name, i in found.skeleton.emitter.layer_ids.items()}
            at = layers.get(made.peak.layer, made.peak.kernel)
            raise DoesNotFitError(
                f"the arena needs {made.arena_bytes:,} B, free are {room:,} B: "
                f"{made.missing_bytes:,} B missing; peak of {made.peak.live_bytes:,} B at {at}",
                "try --input-mode bands, or a board with more SRAM",
            )


def _placed(trade: Curve, regions: Sequence[Arena], point: CurvePoint) -> Fit:
    key = (*regions, point.options, point.places)
    if key in trade.placed:
        return replace(trade.placed[key], point=point)
    choices = point.choices
    graph, fr = trade.skeleton(_absorbed(trade.exact, choices))
    same = repeats(fr, trade.keys, choices)
    program, own = sketch(fr, choices, trade.book, same.kept)
    found = Fit(graph, fr, point, program, plan(program, regions), same, own)
    return keep(trade.placed, key, found, _KEPT)


def _denser(trade: Curve, regions: Sequence[Arena], found: Fit, most: int | None) -> Fit:
    """Where buffers leave gaps between them: with less in the moments that are not the peak's, a
    few times, as far as `DEAREST` instructions go."""
    best, limit = found, found.point.limit_bytes
    fastest = min(p.instructions for p in trade.points)
    dearest = DEAREST * fastest if most is None else min(most, DEAREST * fastest)
    for _ in range(TIGHTER):
        gaps = best.plan.arena_bytes - best.plan.lower_bound_bytes
        if gaps <= GAPS * best.plan.lower_bound_bytes:
            break
        limit -= gaps // 2
        point = tightened(trade.exact, found.point, limit)
        if point.instructions > dearest or point.places == best.point.places:
            break
        if reads_much(trade.points, point) and not reads_much(trade.points, found.point):
            break
        tried = _placed(trade, regions, point)
        best = min(best, tried, key=lambda f: f.plan.arena_bytes)
    return best


def _absorbed(fr: Skeleton, choices: Sequence[Choice]) -> tuple[str, ...]:
    """Names of the attentions that run with absorbed weights."""
    pairs = zip(fr.regions, choices, strict=True)
    return tuple(
        r.attention.name
        for r, c in pairs
        if r.attention is not None and c.schedule.startswith("absorbed")
    )


__all__ = ["MODES", "Curve", "Schedule", "build", "curve", "place"]
