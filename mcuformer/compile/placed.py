"""The stages from what was measured to a placed program, or to why there is no room for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcuformer.codegen.variants import STATE_BYTES
from mcuformer.compile.figures import Figures
from mcuformer.compile.flash_room import choose_flash, flash_error
from mcuformer.compile.misfit import explain
from mcuformer.compile.quantise import Measured, quantised
from mcuformer.compile.source import Source
from mcuformer.compile.static_bytes import static_estimate
from mcuformer.errors import DoesNotFitError, McuformerError
from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.model import UNLIMITED, Arena, ArenaUse, arenas_of
from mcuformer.operators.line_outputs import by_lines
from mcuformer.operators.macs import op_macs
from mcuformer.operators.verify import verify
from mcuformer.plan.fit import MODES, Curve, Schedule, curve, fit, place
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.proof.samples import Evidence
from mcuformer.targets.cores import costs_of
from mcuformer.util.progress import Progress


def scheduled(found: Measured, progress: Progress) -> tuple[Graph, Figures]:
    """The int graph and its program; where that does not fit, with fewer values of 16 bits while
    `--activations auto` gave some, then without copies in front of joins."""
    while True:
        graph, evidence = quantised(found)
        progress("scheduling")
        figures = placed(found.source, graph, evidence)
        smaller = None if figures.error is None else found.narrower()
        if smaller is None:
            return graph, figures
        found = smaller


def placed(source: Source, graph: Graph, evidence: Evidence, state_bytes: int = 0) -> Figures:
    """The program that `--optimize` and the limits mean, proved by the checker; where nothing fits,
    the smallest one and `error`. `state_bytes`: what else the arena holds."""
    options, board = source.options, source.board
    graph = by_lines(graph) if options.output_mode == "lines" else graph
    static = static_estimate(graph)
    beside = static + board.stack_bytes + state_bytes
    first, *others = arenas_of(board, beside)
    behind = max(0, state_bytes - STATE_BYTES)  # outputs, which may lie in any of them
    arenas = [first, *(replace(a, size_bytes=a.size_bytes - behind) for a in others)]
    limit = None if options.ram is None else options.ram - beside
    trade = curve(graph, options.input_mode, CostBook(costs_of(board.core)))
    error: McuformerError | None = None
    try:
        schedule = place(trade, arenas, options.optimize, limit, options.max_instructions)
    except DoesNotFitError:
        wide = [replace(arenas[0], size_bytes=UNLIMITED), *arenas[1:]]
        schedule = place(trade, wide, "ram")
        if not _keeps(schedule, arenas, limit, options.max_instructions):
            error = explain(options, graph, trade, arenas, beside, schedule)
        else:  # the curve counts more bytes than its placement takes
            schedule = _within(schedule, arenas)
    program = schedule.program
    weights = choose_flash(options.weights, program.graph, board)
    error = error or flash_error(options, weights, program.graph, board)
    verify(program.graph)
    check(program, schedule.plan)
    return Figures(
        source=source,
        evidence=evidence,
        program=program,
        plan=schedule.plan,
        static_bytes=static,
        weights=weights,
        weights_bytes=sum(layer.weights_bytes for layer in program.layers),
        tradeoffs=() if error else tradeoffs(trade, arenas),
        error=error,
        diagnostics=evidence.diagnostics,
    )


def _keeps(
    schedule: Schedule, arenas: Sequence[Arena], limit: int | None, most: int | None
) -> bool:
    """Whether a schedule that was placed where room has no end is within the arenas and the limits."""
    plan = schedule.plan
    return (
        all(u.used_bytes <= a.size_bytes for u, a in zip(plan.arenas, arenas, strict=True))
        and (limit is None or plan.arena_bytes <= limit)
        and (most is None or steps_instructions(schedule.program.steps) <= most)
    )


def _within(schedule: Schedule, arenas: Sequence[Arena]) -> Schedule:
    """The same in the board's own arenas."""
    pairs = zip(arenas, schedule.plan.arenas, strict=True)
    uses = tuple(ArenaUse(arena, use.used_bytes) for arena, use in pairs)
    return replace(schedule, plan=replace(schedule.plan, arenas=uses))


def tradeoffs(trade: Curve, arenas: Sequence[Arena]) -> tuple[tuple[str, int, int], ...]:
    """(mode, arena bytes, MACs) of every `--optimize`, placed on this board; equal ones once."""
    found: dict[tuple[int, int], str] = {}
    for mode in MODES:
        made = fit(trade, arenas, mode)
        macs = sum(op_macs(made.skeleton.graph, op) for op in made.skeleton.graph.ops)
        found.setdefault((made.plan.arena_bytes, macs), mode)
    return tuple((mode, size, macs) for (size, macs), mode in found.items())
