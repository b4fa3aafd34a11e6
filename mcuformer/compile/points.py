"""Several widths over one set of weights (`--operating-points`): planned one by one, rounded together.

docs/adr/0013. Each width has a source, an integer graph, a program, a plan and evidence of its own,
and goes through the stages like any model; `Figures.points` has them all. The package is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mcuformer.codegen.variants import STATE_BYTES, joint_bytes
from mcuformer.compile.figures import Figures
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.placed import placed
from mcuformer.compile.quantise import Measured, measured
from mcuformer.compile.source import Source, read_source
from mcuformer.compile.variant_bits import width_bits
from mcuformer.errors import Diagnostic, DoesNotFitError, McuformerError, UsageError
from mcuformer.frontend.load import imported
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams
from mcuformer.memory.model import ArenaUse, MemoryPlan
from mcuformer.package.compiled import CompiledPackage, numbered
from mcuformer.proof import Evidence, check_emitted
from mcuformer.proof.labelled import labelled_percent
from mcuformer.proof.reference import OnnxFile
from mcuformer.quant.policy import Mode
from mcuformer.quant.slices import Slice, SlicePlaces, lower_together, with_blocks
from mcuformer.util.names import printable
from mcuformer.util.progress import Progress


def plan_points(options: CompileOptions, progress: Progress) -> Figures:
    """The figures of the full width, with those of all; UsageError where files are no slices of it."""
    if options.activations == "auto":
        raise UsageError("--activations auto measures one network", "give 8 or 16 with widths")
    progress("reading the models")
    sources = [read_source(replace(options, model=p.model, points=())) for p in options.points]
    full = max(range(len(sources)), key=lambda i: sources[i].parameters)
    names = [p.model.stem for p in options.points]
    graphs = [imported(s.raw).replace(name=n) for s, n in zip(sources, names, strict=True)]
    graphs, places = with_blocks(graphs, full)
    _check_apart(places, names)
    found = [measured(s, g, True, progress) for s, g in zip(sources, graphs, strict=True)]
    progress("rounding the weights for all widths")
    slices = [Slice(f.graph, f.widening.stats, at) for f, at in zip(found, places, strict=True)]
    mode: Mode = "16" if options.activations == "16" else "8"
    chosen = width_bits(options, found, full, mode)
    ints = lower_together(slices, full, mode, found[full].formats, chosen.bits)
    _check_ends(ints, names)
    check_grids(ints)
    progress("scheduling")
    points = [
        placed(s, g, evidence_of(f), STATE_BYTES)
        for s, g, f in zip(sources, ints, found, strict=True)
    ]
    return joined_points(options, points, full, chosen.notes)


def evidence_of(found: Measured) -> Evidence:
    stats = found.widening.stats
    return Evidence(stats.graph, stats.samples, found.doubts, stats.labels)


def _check_apart(places: Sequence[SlicePlaces], names: Sequence[str]) -> None:
    """A width is compiled once: a file that was given twice is a mistake."""
    found: dict[tuple[object, ...], str] = {}
    for at, name in zip(places, names, strict=True):
        key = tuple((p.stack, p.row, p.column, len(p.factor)) for p in at.values())
        if key in found:
            raise UsageError(
                f"{found[key]} and {name} are the same slices of the full network",
                "give each operating point a file of its own width",
            )
        found[key] = name


def _check_ends(graphs: Sequence[Graph], names: Sequence[str]) -> None:
    """Inputs and outputs are the caller's: they have the same places whatever the width."""
    ends = [_ends(g) for g in graphs]
    for name, own in zip(names, ends, strict=True):
        if own != ends[0]:
            raise UsageError(
                f"{name} takes or gives something else than {names[0]}: {own} and {ends[0]}",
                "files of one training have the same inputs and outputs",
            )


def _ends(graph: Graph) -> list[str]:
    return [str(graph.type(n)) for n in (*graph.inputs, *graph.outputs)]


def check_grids(graphs: Sequence[Graph]) -> None:
    """The caller's integers mean the same to every program: macros of inputs are those of one."""
    first = graphs[0]
    known = first.meta["normalisations"]
    for graph in graphs[1:]:
        pairs = zip(graph.inputs, first.inputs, strict=True)
        grids = [(graph.type(mine).qparams, first.type(theirs).qparams) for mine, theirs in pairs]
        if graph.meta["normalisations"] != known or not all(_same_grid(*two) for two in grids):
            raise UsageError(
                f"{graph.name} normalises its input otherwise than {first.name}",
                "give all of them one --mean and --std, or one mean and std in the files' metadata",
            )


def _same_grid(one: QParams | None, other: QParams | None) -> bool:
    if one is None or other is None:
        return one is other
    pairs = ((one.scale, other.scale), (one.zero_point, other.zero_point))
    return all(np.array_equal(a, b) for a, b in pairs)


def joined_points(
    options: CompileOptions, points: Sequence[Figures], full: int, notes: Sequence[str]
) -> Figures:
    """The figures of the package, whose arena is the largest with the state."""
    main, source = points[full], points[full].source
    _check_lines(points, main)
    plan = _common(points, full)
    said = [
        Diagnostic(severity="warning", code="weight-bits", where=None, message=n) for n in notes
    ]
    found = {d.message: d for p in points for d in p.diagnostics}
    return replace(
        main,
        source=replace(source, options=replace(options, model=source.options.model)),
        static_bytes=max(p.static_bytes for p in points),
        plan=plan,
        points=tuple(points),
        error=_misfit(options, points) or _too_large(options, points, plan),
        tradeoffs=(),
        diagnostics=(*found.values(), *said),
    )


def _check_lines(points: Sequence[Figures], main: Figures) -> None:
    """Whoever takes lines of an output knows one number of bytes that each has."""
    for point in points:
        names, outputs = main.graph.meta["output_names"], main.program.outputs
        for name, mine, theirs in zip(names, point.program.outputs, outputs, strict=True):
            sizes = [t.line_bytes if t.buffer is None else 0 for t in (mine, theirs)]
            if sizes[0] != sizes[1]:
                raise UsageError(
                    f"--output-mode lines: a line of {printable(name)} has {sizes[0]} B in "
                    f"{point.graph.name}, {sizes[1]} B in {main.graph.name}",
                    "leave --output-mode away: then outputs stay in SRAM",
                )


def _misfit(options: CompileOptions, points: Sequence[Figures]) -> McuformerError | None:
    """That of the program which needs most: what would fit it fits all."""
    failed = [
        (p.error.needs, n, p.error)
        for n, p in enumerate(points)
        if isinstance(p.error, DoesNotFitError)
    ]
    if not failed:
        return None
    _, number, error = max(failed, key=lambda each: each[0])
    label = options.points[number].label
    return DoesNotFitError(f"{options.kind} {label}: {error.message}", error.hint, error.needs)


def _too_large(
    options: CompileOptions, points: Sequence[Figures], plan: MemoryPlan
) -> McuformerError | None:
    """Plans that keep `--ram` each for itself may fill different regions."""
    beside = max(p.static_bytes for p in points) + points[0].board.stack_bytes
    needed = plan.arena_bytes + beside
    if options.ram is None or needed <= options.ram:
        return None
    return DoesNotFitError(
        f"all {options.kind}s together need {needed:,} B of SRAM, --ram allows {options.ram:,} B",
        f"--ram {needed} leaves each of them more",
        needed,
    )


def _common(points: Sequence[Figures], full: int) -> MemoryPlan:
    """The full width's plan in an arena for all of them."""
    plan = points[full].plan
    used = joint_bytes([p.plan for p in points], [p.program.graph for p in points])
    arenas = tuple(ArenaUse(a.arena, n) for a, n in zip(plan.arenas, used, strict=True))
    bound = max(p.plan.lower_bound_bytes for p in points)
    return replace(plan, arenas=arenas, lower_bound_bytes=bound)


def checked_points(figures: Figures, package: CompiledPackage) -> Figures:
    """The figures with what the check of each width found."""
    points, diagnostics, main = list[Figures](), list(figures.diagnostics), None
    for number, (label, point) in enumerate(
        zip(figures.options.points, figures.points, strict=True)
    ):
        source: Source = point.source
        file = OnnxFile(source.options.model, source.raw)
        try:
            found = check_emitted(
                numbered(package, number), point.evidence, file, figures.options.accept_sqnr
            )
        except McuformerError as error:
            error.message = f"{figures.options.kind} {label.label}: {error.message}"
            error.args = (error.message,)
            raise
        macs = sum(layer.macs for layer in point.program.layers)
        percent = labelled_percent(point.graph, point.evidence, macs)
        points.append(replace(point, checked=found.checked, percent=percent))
        diagnostics += [
            d
            if d.where is None or d.code == "unknown"
            else replace(d, where=f"{label.label}:{d.where}")
            for d in found.diagnostics
        ]
        if point.program is figures.program:
            main = found.checked
    return replace(figures, points=tuple(points), checked=main, diagnostics=tuple(diagnostics))
