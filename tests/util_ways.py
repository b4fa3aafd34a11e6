"""Schedules in which regions run by given choices, and what a choice takes, counted call by call."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from mcuformer.ir.graph import Graph
from mcuformer.memory.lifetimes import stretches
from mcuformer.memory.model import Arena
from mcuformer.memory.placement import plan
from mcuformer.plan import options
from mcuformer.plan.assemble import assemble
from mcuformer.plan.bind import Binding
from mcuformer.plan.fit import Schedule, curve
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.schedule.build import Skeleton
from mcuformer.schedule.regions import Choice, Region


def run_so(graph: Graph, chosen: Callable[[Region], Choice | None]) -> Schedule:
    """The smallest schedule, but regions for which `chosen` names a choice run by it."""
    trade = curve(graph, "resident", CostBook())
    point = trade.points[-1]
    choices = [
        chosen(region) or choice
        for region, choice in zip(trade.exact.regions, point.choices, strict=True)
    ]
    program = assemble(trade.skeleton(())[1], choices, trade.book)[0]
    placed = plan(program, [Arena("sram", 0x20000000, 300_000)])
    return Schedule(graph, program, placed, point, trade.points)


def modulating(chosen: Choice) -> Callable[[Region], Choice | None]:
    return lambda region: chosen if region.modulates else None


def attending(chosen: Choice) -> Callable[[Region], Choice | None]:
    return lambda region: chosen if region.attention is not None else None


def measured(fr: Skeleton, region: Region, choice: Choice, book: CostBook) -> tuple[int, int]:
    """Peak in bytes by the planner's own lifetimes, and instructions call by call."""
    em, steps, outside = options._emit(fr, region, choice)
    calls = Binding(em, book).region(steps, choice.budget)
    change = [0] * 999
    for name, stairs in stretches(calls).items():
        for live in stairs if name not in outside else ():
            change[live.first] += -(-(live.hi - live.lo) // 8) * 8
            change[live.last + 1] -= -(-(live.hi - live.lo) // 8) * 8
    return max(accumulate(change)), steps_instructions(calls)
