"""Why a model does not fit, in the user's terms: the block, the bytes missing, what would fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcuformer.compile.options import CompileOptions
from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import Arena
from mcuformer.operators.line_outputs import by_lines
from mcuformer.plan.fit import Curve, Schedule, curve, place
from mcuformer.price.measure import steps_instructions


def explain(
    options: CompileOptions, graph: Graph, trade: Curve, arenas: Sequence[Arena], beside: int,
    smallest: Schedule,
) -> DoesNotFitError:  # fmt: skip
    """`beside`: bytes of stack and static data; `smallest`: placed where room has no end."""
    allowed = sum(a.size_bytes for a in arenas) + beside
    if options.ram is not None:
        allowed = min(allowed, options.ram)
    inside = [p for p in trade.points if p.limit_bytes + beside <= allowed]
    if inside and options.max_instructions is not None:
        fastest = place(trade, arenas, "speed", allowed - beside)
        quickest = steps_instructions(fastest.program.steps)
        if quickest > options.max_instructions:
            return _too_slow(options, trade, quickest, allowed, beside)
    needed = smallest.plan.arena_bytes + beside
    peak = smallest.plan.peak
    names = {layer.id: layer.name for layer in smallest.program.layers}
    return DoesNotFitError(
        f"needs {needed:,} B of SRAM, {allowed:,} B are allowed: "
        f"{max(needed - allowed, 0):,} B missing; peak at {names.get(peak.layer, peak.kernel)}",
        _what_fits(options, graph, trade, arenas, beside, needed),
        needed,
    )


def _too_slow(
    options: CompileOptions, trade: Curve, quickest: int, allowed: int, beside: int
) -> DoesNotFitError:
    """The instruction limit is met by no schedule within the SRAM that is allowed."""
    legal = [p for p in trade.points if p.instructions <= (options.max_instructions or 0)]
    bytes_wanted = min((p.limit_bytes + beside for p in legal), default=None)
    hint = f"--max-instructions {quickest} is the least here"
    if bytes_wanted is not None:
        hint += f"; with {bytes_wanted:,} B of SRAM the limit is met"
    return DoesNotFitError(
        f"the fastest schedule within {allowed:,} B of SRAM executes about {quickest:,} "
        f"instructions, the limit is {options.max_instructions:,}",
        hint,
        quickest,
    )


def _what_fits(
    options: CompileOptions, graph: Graph, trade: Curve, arenas: Sequence[Arena], beside: int,
    needed: int,
) -> str:  # fmt: skip
    """The nearest option that would fit: another mode, then more SRAM."""
    limit = None if options.ram is None else options.ram - beside
    for option, made, mode in _others(options, graph):
        try:
            there = curve(made, mode, trade.book)
            other = place(there, arenas, "ram", limit, options.max_instructions)
        except DoesNotFitError:
            continue
        return f"{option} fits, in {other.plan.arena_bytes + beside:,} B"
    on_board = sum(a.size_bytes for a in arenas) + beside
    if needed <= on_board:
        return f"--ram {needed} fits"
    return f"a board with {needed:,} B of SRAM, or a smaller model"


def _others(options: CompileOptions, graph: Graph) -> Iterator[tuple[str, Graph, str]]:
    """Other modes of input or output: the option, the graph, the input mode."""
    for mode in ("bands", "flash"):
        if mode != options.input_mode:
            yield f"--input-mode {mode}", graph, mode
    if options.output_mode == "resident" and (leaving := by_lines(graph)) is not graph:
        yield "--output-mode lines", leaving, options.input_mode
