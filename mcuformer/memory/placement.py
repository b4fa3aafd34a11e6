"""Places every buffer of a program: a few greedy orders, then a little local search; in one arena
part by part (memory/parts.py).

No solver: on every vision transformer tried this meets the lower bound or CP-SAT's optimum
(tests/memory/test_placement.py compares).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mcuformer.memory.conflicts import Item, items, live_bytes, lower_bound
from mcuformer.memory.lifetimes import Live, lifetimes
from mcuformer.memory.model import UNLIMITED, Arena, ArenaUse, Level, MemoryPlan, Placement
from mcuformer.memory.packing import Packing, collapse, move, orders, pack, packed, prefer_fast
from mcuformer.memory.parts import place_parts
from mcuformer.program.program import Program

ANYWHERE = (Arena("arena", 0, UNLIMITED),)


def plan(program: Program, arenas: Sequence[Arena] = ANYWHERE, rounds: int = 1000) -> MemoryPlan:
    """The placement of all buffers; `missing_bytes` of the result tells what does not fit.

    `rounds` bounds the local search, which stops where the lower bound is met.
    """
    lives, found, timeline = _known(program)
    levels = [m.live_bytes for m in timeline]
    peak = _peak(timeline)
    bound = lower_bound(found, len(timeline), peak.live_bytes)
    made = _fewest if len(arenas) > 1 else _in_one
    best = prefer_fast(made(found, arenas, levels, bound, rounds), found, arenas)
    return MemoryPlan(
        placements={
            item.buffer.name: Placement(item.buffer.name, arenas[r].name, at)
            for item, r, at in zip(found, best.arena, best.offset, strict=True)
        },
        arenas=tuple(ArenaUse(r, used) for r, used in zip(arenas, best.used, strict=True)),
        lower_bound_bytes=bound,
        peak=peak,
        timeline=timeline,
        lives=lives,
    )


def extend(
    program: Program, arenas: Sequence[Arena], few: MemoryPlan, twins: Mapping[str, str]
) -> MemoryPlan:
    """The plan `few` of a program without repeated blocks, for all of them: every buffer where its
    twin lies. Planned anew where two would collide, which equal blocks cannot make happen."""
    lives, found, timeline = _known(program)
    places = [few.placements[twins[item.buffer.name]] for item in found]
    if _collide(found, places):
        return plan(program, arenas)
    return replace(
        few,
        placements={
            i.buffer.name: replace(p, buffer=i.buffer.name)
            for i, p in zip(found, places, strict=True)
        },
        peak=_peak(timeline),
        timeline=timeline,
        lives=lives,
    )


def _collide(found: Sequence[Item], places: Sequence[Placement]) -> bool:
    return any(
        places[i].arena == places[j].arena and lo < places[i].offset - places[j].offset < hi
        for i, item in enumerate(found)
        for j, gaps in item.against.items()
        for lo, hi in gaps
    )


def _known(
    program: Program,
) -> tuple[dict[str, tuple[Live, ...]], list[Item], tuple[Level, ...]]:
    """Lifetimes, conflicts, and the bytes that matter at every call."""
    lives = lifetimes(program)
    found = items(list(program.buffers.values()), lives)
    calls = [call for call, _ in program.calls()]
    levels = live_bytes(found, len(calls))
    timeline = tuple(
        Level(t, call.layer, call.kernel, level)
        for t, (call, level) in enumerate(zip(calls, levels, strict=True))
    )
    return lives, found, timeline


def _peak(timeline: Sequence[Level]) -> Level:
    return max(timeline, key=lambda m: m.live_bytes, default=Level(0, -1, "", 0))


def _in_one(
    found: list[Item], arenas: Sequence[Arena], levels: list[int], bound: int, rounds: int
) -> Packing:
    """Part by part. Fast memory breaks ties only: it costs no byte."""
    offsets = place_parts(found, levels, bound, arenas[0].fast_bytes, rounds)
    return packed(found, arenas, [0] * len(found), offsets)


def _fewest(
    found: list[Item], arenas: Sequence[Arena], levels: list[int], bound: int, rounds: int
) -> Packing:
    """Fast memory costs no byte: where the search that heeds it misses the bound, one without it
    takes other turns and may find less."""
    best = _best(found, arenas, levels, bound, rounds)
    if best.cost[:2] <= (0, bound) or not any(r.fast_bytes for r in arenas):
        return best
    plain = _best(found, [replace(r, fast_bytes=0) for r in arenas], levels, bound, rounds)
    return plain if plain.cost[:2] < best.cost[:2] else best


def _best(
    found: list[Item], arenas: Sequence[Arena], levels: list[int], bound: int, rounds: int
) -> Packing:
    """Greedy orders; where they miss the bound, a search that moves alike buffers together."""
    best = _greedy(found, arenas, levels, bound)
    if best[0].cost[:2] <= (0, bound) or not rounds:
        return best[0]
    few, group = collapse(found)
    alike = _improve(*_greedy(few, arenas, levels, bound), few, arenas, bound, rounds)
    if alike.cost < best[0].cost:
        return replace(
            alike,
            arena=tuple(alike.arena[g] for g in group),
            offset=tuple(alike.offset[g] for g in group),
        )
    return best[0]


def _greedy(
    found: list[Item], arenas: Sequence[Arena], levels: list[int], bound: int
) -> tuple[Packing, list[int], tuple[int, ...]]:
    """The best packing over a few orders, its order, and how it tried the arenas."""
    ways = [tuple(range(len(arenas)))]
    if len(arenas) > 1:
        ways.append(ways[0][::-1])
    best: tuple[Packing, list[int], tuple[int, ...]] | None = None
    for order in orders(found, levels):
        for way in ways:
            made = pack(order, found, arenas, way)
            if best is None or made.cost < best[0].cost:
                best = made, order, way
        if best and best[0].cost <= (0, bound, 0):
            break
    assert best is not None
    return best


def _improve(
    best: Packing,
    order: list[int],
    way: tuple[int, ...],
    found: list[Item],
    arenas: Sequence[Arena],
    bound: int,
    rounds: int,
) -> Packing:
    """Local search over the order: a move is kept unless it makes things worse."""
    chance = random.Random(0)
    for turn in range(rounds):
        near = 1.001 if turn > rounds // 4 else 1.0  # the last bytes are not worth the time
        if best.cost[0] == 0 and best.cost[1] <= near * bound:
            break
        trial = order[:]
        ends = [best.offset[i] + item.buffer.size_bytes for i, item in enumerate(found)]
        top = chance.choice([i for i in order if ends[i] == best.used[best.arena[i]]])
        beside = list(found[top].against)
        if turn % 4 == 0:  # anything, anywhere
            move(trial, chance.choice(order), chance.randrange(len(order)))
        elif turn % 2 == 0 or not beside:  # a buffer at the top, anywhere
            move(trial, top, chance.randrange(len(order)))
        elif turn % 4 == 1:  # a buffer at the top, before one that it keeps apart from
            move(trial, top, order.index(chance.choice(beside)))
        else:  # one that a buffer at the top keeps apart from, anywhere
            move(trial, chance.choice(beside), chance.randrange(len(order)))
        made = pack(trial, found, arenas, way)
        if made.cost <= best.cost:
            best, order = made, trial
    return best
