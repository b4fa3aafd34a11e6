"""Which schedule every region runs under: the trade between SRAM and instructions.

Each region is emitted under every candidate choice; its own peak of bytes and its instructions are
kept where no other choice is better in both. A limit on bytes then decides for all regions at once:
each takes its fastest choice that stays, with what lives beside it, under the limit. Sweeping the
limit gives the model's whole trade-off curve.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

from mcuformer.memory.lifetimes import stretches
from mcuformer.schedule.build import Choice, Frame, emit_region, replace_state
from mcuformer.schedule.conv import strip_choices
from mcuformer.schedule.embed import Grid, by_patches, line_choices
from mcuformer.schedule.emit import NO_BUDGET
from mcuformer.schedule.program import Buffer, Call, Loop, Step
from mcuformer.schedule.regions import CONVOLUTIONS, Region

# Into how many tiles the rows are cut: equal ones, so that no short last tile pays for a whole panel.
CUTS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 99)
BUDGETS = (
    0,
    512,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    12288,
    16384,
    24576,
    32768,
    49152,
    65536,
)


@dataclass(frozen=True, slots=True)
class Option:
    choice: Choice
    peak_bytes: int  # of the region's own buffers
    instructions: int


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the trade-off: every region's choice under a limit on live bytes."""

    limit_bytes: int
    instructions: int
    choices: tuple[Choice, ...]
    latent: bool = False  # some attention runs from its low-rank latent, K and V never exist


def steps_instructions(steps: Sequence[Step]) -> int:
    """Estimated instructions: whole tiles and the shorter last one."""
    total = 0
    for step in steps:
        if isinstance(step, Call):
            total += step.instructions
            continue
        full, tail = divmod(step.total, step.step)
        total += full * steps_instructions(step.body)
        if tail:
            total += sum(
                (c.instructions if c.tail_instructions is None else c.tail_instructions)
                if isinstance(c, Call)
                else steps_instructions((c,))
                for c in step.body
            )
    return total


def candidates(fr: Frame, region: Region) -> Iterator[Choice]:
    """Every choice worth emitting for a region of the exact graph, but `kv` (keep_options)."""
    op = region.ops[-1]
    rows = fr.emitter.values[region.target].type.shape[0]
    if op.kind in CONVOLUTIONS:
        for n in _lines(fr, region):
            for budget in BUDGETS:
                yield Choice("rows", lines=n, budget=budget)
    elif region.attention is not None and region.attention.attrs.get("windows", 1) > 1:
        for budget in BUDGETS:
            yield Choice("windows", budget=budget)
    elif region.attention is not None:
        tq, tk = (fr.emitter.values[str(n)].type.shape[0] for n in region.attention.inputs[:2])
        for budget in BUDGETS[2:]:
            for tile in _tiles(tk):
                yield Choice("heads", tile=tile, query_tile=tq, budget=budget)
    else:
        for tile in _tiles(
            rows if op.kind != "q_mean" else fr.emitter.values[str(op.inputs[0])].type.shape[0]
        ):
            for budget in BUDGETS:
                yield Choice("rows", tile=tile, budget=budget)


def _lines(fr: Frame, region: Region) -> list[int]:
    """Image lines of patches at a time, or lines of a convolution's strips."""
    op = region.ops[-1]
    if not by_patches(fr.graph, op):
        return strip_choices(fr.emitter, region)
    return line_choices(Grid.of(fr.emitter, op)) if fr.mode == "bands" else [op.attrs["kernel"][0]]


def absorbed_candidates(fr: Frame, region: Region) -> Iterator[Choice]:
    """The same for a region whose attention has absorbed weights."""
    assert region.attention is not None
    tq = fr.emitter.values[str(region.attention.inputs[0])].type.shape[0]
    for budget in BUDGETS:
        for query_tile in _tiles(tq):
            for schedule in ("absorbed", "absorbed together"):
                yield Choice(schedule, tile=query_tile, query_tile=query_tile, budget=budget)


def _tiles(rows: int) -> list[int]:
    """Rows of a tile, even (the kernels take rows in pairs); 1 only where there is one row."""
    return sorted({min(rows, 2 * -(-rows // (2 * n))) for n in CUTS})


def options(fr: Frame, region: Region, other: Frame | None, twin: Region | None) -> list[Option]:
    """The Pareto set of a region, smallest peak first; `twin` is the region with absorbed weights."""
    found = list(_evaluated(fr, region, candidates(fr, region)))
    if region.attention is not None and region.attention.attrs.get("windows", 1) == 1:
        found += keep_options(fr, region)
    if other is not None and twin is not None and twin.attention is not None:
        found += _evaluated(other, twin, absorbed_candidates(other, twin))
    found.sort(key=lambda o: (o.peak_bytes, o.instructions))
    kept: list[Option] = []
    for option in found:
        if not kept or option.instructions < kept[-1].instructions:
            kept.append(option)
    return kept


def _evaluated(fr: Frame, region: Region, choices: Iterator[Choice]) -> Iterator[Option]:
    """Budgets rise; one under which no kernel chooses otherwise than under the last is left out."""
    enough: dict[Choice, int] = {}
    for choice in choices:
        apart = replace(choice, budget=0)
        if choice.budget >= enough.get(apart, 0):
            found, enough[apart] = step_figures(fr, region, choice)
            peak = max((p for p, _ in found), default=0)
            yield Option(choice, peak, sum(n for _, n in found))


def keep_options(fr: Frame, region: Region) -> Iterator[Option]:
    """Schedule `kv` under every tile, query tile and budget.

    Its two loops share K and V only, which live through both: each loop is emitted once per tile of
    its own, and a choice costs the sum of both loops and peaks where the higher one does.
    """
    assert region.attention is not None
    tq, tk = (fr.emitter.values[str(n)].type.shape[0] for n in region.attention.inputs[:2])
    tiles, query_tiles = _tiles(tk), _tiles(tq)
    first: dict[int, _Loops] = {}
    second: dict[int, _Loops] = {}
    for budget in BUDGETS[2:]:
        changed = False
        for table, pairs, part in (
            (first, [(t, query_tiles[0]) for t in tiles], slice(None, -1)),
            (second, [(tiles[0], t) for t in query_tiles], slice(-1, None)),
        ):
            for pair in pairs:
                at = pair[0] if table is first else pair[1]
                if at not in table or budget >= table[at][1]:
                    choice = Choice("kv", tile=pair[0], query_tile=pair[1], budget=budget)
                    found, enough = step_figures(fr, region, choice)
                    table[at], changed = (found[part], enough), True
        for tile, query_tile in product(tiles, query_tiles) if changed else ():
            both = first[tile][0] + second[query_tile][0]
            choice = Choice("kv", tile=tile, query_tile=query_tile, budget=budget)
            yield Option(choice, max(p for p, _ in both), sum(n for _, n in both))


_Loops = tuple[list[tuple[int, int]], int]


def step_figures(fr: Frame, region: Region, choice: Choice) -> _Loops:
    """(peak of the region's own bytes, instructions) of each step, and the least budget under which
    they may differ."""
    em = replace_state(fr.emitter)
    em.next_budget = NO_BUDGET
    outside = set(em.buffers)
    steps = emit_region(em, region, choice, fr.mode)
    if region.ops[-1].kind in CONVOLUTIONS and not by_patches(fr.graph, region.ops[-1]):
        found = [(window_peak(steps, outside), steps_instructions(steps))]
        return found, em.next_budget
    peaks = own_peaks(steps, em.buffers, outside)
    return list(zip(peaks, (steps_instructions((s,)) for s in steps), strict=True)), em.next_budget


def window_peak(steps: Sequence[Step], outside: set[str]) -> int:
    """The same where windows of images live on from step to step, of which a part counts at a time."""
    change: dict[int, int] = {}
    for name, stairs in stretches(steps).items():
        for live in stairs if name not in outside else ():
            size = -(-(live.hi - live.lo) // 8) * 8
            change[live.first] = change.get(live.first, 0) + size
            change[live.last + 1] = change.get(live.last + 1, 0) - size
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def own_peaks(steps: Sequence[Step], buffers: Mapping[str, Buffer], outside: set[str]) -> list[int]:
    """Most bytes of the region's own buffers that live at once during each step.

    A buffer touched in one loop only lives from its first to its last call there; one touched inside
    and outside lives through the whole loop. (The planner proves the exact figure.)
    """
    touched: dict[str, list[tuple[int, int]]] = {}
    position = 0

    def visit(call: Call, loop: tuple[int, int, int] | None) -> None:
        nonlocal position
        for span in (*call.reads, *call.writes, *call.scratch):
            if span.buffer not in outside:
                touched.setdefault(span.buffer, []).append((position, loop[0] if loop else -1))
        position += 1

    bounds: dict[int, tuple[int, int]] = {}
    for n, step in enumerate(steps):
        start = position
        for call in _flat(step):
            visit(call, (n, 0, 0) if isinstance(step, Loop) else None)
        bounds[n] = (start, position - 1)
    events = [0] * (position + 1)
    for name, marks in touched.items():
        first, last = marks[0][0], marks[-1][0]
        loops = {loop for _, loop in marks}
        if len(loops) > 1 and marks[0][1] >= 0:
            first = bounds[marks[0][1]][0]
        if len(loops) > 1 and marks[-1][1] >= 0:
            last = bounds[marks[-1][1]][1]
        size = -(-buffers[name].size_bytes // 8) * 8
        events[first] += size
        events[last + 1] -= size
    levels = list(accumulate(events))
    return [max(levels[a : b + 1], default=0) for a, b in bounds.values()]


def _flat(step: Step) -> Iterator[Call]:
    if isinstance(step, Call):
        yield step
    else:
        for inner in step.body:
            yield from _flat(inner)


def outside_live(fr: Frame) -> list[int]:
    """Bytes of materialised values that live while each region runs (its inputs and target included)."""
    count = len(fr.regions)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    where, values = fr.emitter.where, fr.emitter.values
    for i, region in enumerate(fr.regions):
        for name in (region.target, *(n for op in region.ops for n in op.inputs if n is not None)):
            if name in where and where[name].buffer is not None:
                first.setdefault(name, i)
                last[name] = i
    for name in fr.graph.outputs:
        last[name] = count - 1
    live: list[dict[str, int]] = [{} for _ in range(count)]
    for name, start in first.items():
        loc = where[name]
        end = loc.start.const + values[name].type.shape[0] * loc.stride
        for i in range(start, last[name] + 1):
            live[i][str(loc.buffer)] = max(live[i].get(str(loc.buffer), 0), -(-end // 8) * 8)
    return [sum(table.values()) for table in live]


def signature(fr: Frame, region: Region) -> tuple[object, ...]:
    """Regions with equal signatures have equal options: shapes, types and structure, no names."""
    index: dict[str, int] = {}
    values = fr.emitter.values
    rows: list[object] = [fr.mode]
    for op in region.ops:
        for name in (*op.inputs, *op.outputs):
            if name is None:
                rows.append(None)
                continue
            t = values[name].type
            loc = fr.emitter.where.get(name)
            place = (loc.stride, loc.buffer is None, str(loc.start)) if loc else None
            rows.append(
                (index.setdefault(name, len(index)), t.shape, t.dtype, values[name].is_const, place)
            )
        skip = ("indices", "m", "o_mant", "o_exp")
        rows.append(
            (op.kind, tuple(sorted((k, str(v)) for k, v in op.attrs.items() if k not in skip)))
        )
    target = fr.emitter.where[region.target].buffer
    rows.append(
        [
            fr.emitter.where[n].buffer == target
            for op in region.ops
            for n in op.inputs
            if n in fr.emitter.where
        ]
    )
    return (repr(rows),)


def is_latent(fr: Frame, region: Region) -> bool:
    """Whether the attention's k and v layers read a materialised value narrower than K (a latent)."""
    assert region.attention is not None
    k = str(region.attention.inputs[1])
    made = next((o for o in region.ops if o.outputs[0] == k), None)
    if made is None or made.inputs[0] not in fr.emitter.where:
        return False
    return fr.emitter.values[str(made.inputs[0])].type.shape[1] < fr.emitter.values[k].type.shape[1]


Memo = MutableMapping[tuple[object, ...], list[Option]]


def trade_off(fr: Frame, other: Frame | None = None, memo: Memo | None = None) -> list[Point]:
    """Points with rising instructions and falling limits: what the model can trade.

    `other` is the frame of the graph whose attentions have absorbed weights, where there are any.
    `memo` keeps the options of regions from one model to the next (the search plans thousands).
    """
    memo = {} if memo is None else memo
    table: list[list[Option]] = []
    twins = {r.target: r for r in other.regions} if other else {}
    for region in fr.regions:
        twin = twins.get(region.target)
        same = twin is None or [o.name for o in twin.ops] == [o.name for o in region.ops]
        twin = None if same else twin
        key = (signature(fr, region), twin is not None)
        if key not in memo:
            memo[key] = options(fr, region, other, twin)
        table.append(memo[key])
    beside = outside_live(fr)
    # Along a region's options peaks rise and instructions fall: the last one that fits is the best.
    peaks = [[b + o.peak_bytes for o in os] for b, os in zip(beside, table, strict=True)]
    floor = max((p[0] for p in peaks), default=0)
    latent = [r.attention is not None and is_latent(fr, r) for r in fr.regions]
    points: list[Point] = []
    for limit in sorted({p for ps in peaks for p in ps if p > floor} | {floor}):
        chosen = [os[bisect_right(ps, limit) - 1] for os, ps in zip(table, peaks, strict=True)]
        total = sum(o.instructions for o in chosen)
        if not points or total < points[-1].instructions:
            choices = tuple(o.choice for o in chosen)
            from_latent = any(
                yes and c.schedule.startswith("absorbed")
                for yes, c in zip(latent, choices, strict=True)
            )
            points.append(Point(limit, total, choices, from_latent))
    return points[::-1]


__all__ = ["Option", "Point", "trade_off"]
