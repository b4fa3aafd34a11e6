"""The trade between SRAM and instructions of a whole model, from the options of its regions.

A limit on bytes decides for all regions at once: each takes its fastest choice that stays, with what
lives beside it, under the limit. Sweeping the limit gives the curve.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcuformer.operators.outline import times
from mcuformer.plan.options import BUDGETS, Options, Trials, options, trials
from mcuformer.price.book import CostBook
from mcuformer.price.measure import learn_all
from mcuformer.schedule.build import Skeleton
from mcuformer.schedule.outlets import OUTLET
from mcuformer.schedule.regions import Choice, Region
from mcuformer.util.speed import keep, record

_NUMBERS = ("indices", "m", "o_mant", "o_exp")  # attributes that no schedule depends on


@record(frozen=True, slots=True, eq=False)
class CurvePoint:
    """One point of the trade-off: every region's choice under a limit on live bytes.

    `latent`: some attention runs from its low-rank latent, K and V never exist.
    """

    limit_bytes: int
    instructions: int
    weight_bytes_read: int
    latent: bool
    options: tuple[Options, ...]
    places: tuple[int, ...]  # of every region's choice among its options

    @property
    def choices(self) -> tuple[Choice, ...]:
        pairs = list(zip(self.options, self.places, strict=True))
        made = {(o, i): o.choice(i) for o, i in dict.fromkeys(pairs)}  # alike regions share options
        return tuple(map(made.__getitem__, pairs))


def tightened(fr: Skeleton, point: CurvePoint, limit_bytes: int) -> CurvePoint:
    """The same limit, but what can stay under `limit_bytes` does, and what cannot takes the least that
    it can: buffers that are smaller at other moments are easier to place."""
    count, read, places = 0, 0, []
    for region, live, o, now in zip(
        fr.regions, outside_live(fr), point.options, point.places, strict=True
    ):
        at = max(0, int((live + o.peak).searchsorted(limit_bytes, "right")) - 1)
        places.append(min(now, at))
        calls = times(fr.graph, region.ops[-1])
        count += calls * int(o.cost[places[-1]])
        read += calls * int(o.read[places[-1]])
    latent = point.latent or any(
        bool(o.absorbed[at])
        for r, o, at in zip(fr.regions, point.options, places, strict=True)
        if r.attention is not None and is_latent(fr, r)
    )
    return CurvePoint(point.limit_bytes, count, read, latent, point.options, tuple(places))


def outside_live(fr: Skeleton) -> list[int]:
    """Bytes of materialised values that live while each region runs (its inputs and target included)."""
    count = len(fr.regions)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    where, values = fr.emitter.where, fr.emitter.values
    for i, region in enumerate(fr.regions):
        for name in (
            region.target,
            *region.also,
            *(n for op in region.ops for n in op.inputs if n is not None),
        ):
            if name in where and where[name].buffer is not None:
                first.setdefault(name, i)
                last[name] = i
    for name in fr.graph.inputs:  # the caller wrote it before
        if name in where and where[name].buffer is not None:
            first[name] = 0
            last.setdefault(name, 0)
    for name in (n for n in fr.graph.outputs if n not in fr.emitter.leaving):
        last[name] = count - 1
    live: list[dict[str, int]] = [{} for _ in range(count)]
    for name, start in first.items():
        loc = where[name]
        end = loc.start.const + values[name].type.shape[0] * loc.stride
        for i in range(start, last[name] + 1):
            live[i][str(loc.buffer)] = max(live[i].get(str(loc.buffer), 0), -(-end // 8) * 8)
    return [sum(table.values()) for table in live]


def signature(fr: Skeleton, region: Region) -> tuple[object, ...]:
    """Regions with equal signatures have equal options: shapes, types and structure, no names."""
    index: dict[str, int] = {}
    values, where = fr.emitter.values, fr.emitter.where
    at_target = where.get(region.target)
    target = OUTLET if at_target is None else at_target.buffer
    rows: list[object] = [fr.mode]
    if at_target is None or region.target in fr.emitter.leaving:
        rows += [region.target in fr.emitter.leaving, at_target is None]
    if region.copied:
        inputs = [n for op in region.ops for n in op.inputs]
        rows.append(tuple(n in region.copied for n in inputs))
    if region.over:
        rows.append("over")
    if region.also:
        rows.append(tuple(op.outputs[0] in region.also for op in region.ops))
    for op in region.ops:
        rows.append(op.kind)
        rows += [
            (k, v if isinstance(v, int) else str(v))
            for k, v in sorted(op.attrs.items())
            if k not in _NUMBERS
        ]
        for name in (*op.inputs, *op.outputs):
            if name is None:
                rows.append(None)
                continue
            value = values[name]
            t = value.type
            rows += (index.setdefault(name, len(index)), t.shape, t.dtype, value.data is None)
            loc = where.get(name)
            if loc is not None:
                at = loc.start
                rows += (loc.stride, loc.buffer is None, at.const, at.terms, loc.buffer == target)
    return tuple(rows)


def is_latent(fr: Skeleton, region: Region) -> bool:
    """Whether the attention's k and v layers read a materialised value narrower than K (a latent)."""
    assert region.attention is not None
    k = str(region.attention.inputs[1])
    made = next((o for o in region.ops if o.outputs[0] == k), None)
    if made is None or made.inputs[0] not in fr.emitter.where:
        return False
    return fr.emitter.values[str(made.inputs[0])].type.shape[1] < fr.emitter.values[k].type.shape[1]


Memo = dict[tuple[object, ...], Options]


def _options(
    book: CostBook,
    fr: Skeleton,
    other: Skeleton | None,
    memo: Memo,
    keys: Sequence[object],
    read_price: int,
) -> list[Options]:
    """Of every region; what none is known of is emitted first, then costed together."""
    twins = {r.target: r for r in other.regions} if other else {}
    found: Memo = {}
    new: dict[tuple[object, ...], Trials] = {}
    order: list[tuple[object, ...]] = []
    for region, shapes in zip(fr.regions, keys, strict=True):
        twin = twins.get(region.target)
        same = twin is None or {o.name for o in twin.ops} == {o.name for o in region.ops}
        key: tuple[object, ...] = (shapes, not same, read_price)
        order.append(key)
        if key in memo:
            found[key] = memo[key]
        elif key not in new:
            new[key] = trials(book, fr, region, other, None if same else twin)
    learn_all(book, (m for tried in new.values() for m in tried.measurements), BUDGETS)
    for at, tried in new.items():
        found[at] = keep(memo, at, options(tried, read_price))
    return [found[at] for at in order]


def trade_off(
    book: CostBook,
    fr: Skeleton,
    other: Skeleton | None = None,
    memo: Memo | None = None,
    keys: Sequence[object] | None = None,
    read_price: int = 0,
) -> list[CurvePoint]:
    """Points with rising instructions and falling limits: what the model can trade.

    `other` is the skeleton of the graph whose attentions have absorbed weights, where there are any.
    `memo` keeps the options of regions from one model to the next (the search plans thousands).
    `keys` are the regions' signatures, where they are known. `read_price`: instructions that reading a byte
    of weights counts for, in choosing and in what rises along the points.
    """
    memo = {} if memo is None else memo
    keys = keys or [signature(fr, r) for r in fr.regions]
    table = _options(book, fr, other, memo, keys, read_price)
    # Along a region's options peaks rise and costs fall: the last one that fits is the best.
    peaks = [live + o.peak for live, o in zip(outside_live(fr), table, strict=True)]
    floor = max((int(p[0]) for p in peaks), default=0)
    limits = np.unique(
        np.concatenate([np.array([floor], np.int64), *(p[p > floor] for p in peaks)])
    )
    chosen = [p.searchsorted(limits, "right") - 1 for p in peaks]
    totals, read = np.zeros_like(limits), np.zeros_like(limits)
    latent = np.zeros(len(limits), np.bool_)
    for region, o, at in zip(fr.regions, table, chosen, strict=True):
        count = times(fr.graph, region.ops[-1])
        totals += count * o.cost[at]
        read += count * o.read[at]
        if region.attention is not None and is_latent(fr, region):
            latent |= o.absorbed[at]
    better = np.ones(len(limits), np.bool_)  # than every lower limit
    priced = totals + read_price * read
    better[1:] = priced[1:] < np.minimum.accumulate(priced)[:-1]
    columns = (a[better].tolist() for a in (limits, totals, read, latent))
    places = zip(*(at[better].tolist() for at in chosen), strict=True)
    all_options = tuple(table)
    return [
        CurvePoint(limit, total, weights, from_latent, all_options, at)
        for at, limit, total, weights, from_latent in zip(places, *columns, strict=True)
    ][::-1]
