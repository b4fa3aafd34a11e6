"""Several tasks of one network (`--adapters`): one package, whose program a caller chooses (docs/adr/0014).

`runtime`: the files have their adapters beside the layers, and all that is no adapter and no head is
common to them (quant/tasks.py). `fold`: the files have them inside of the layers; each is lowered for itself
and brings weights of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcuformer.codegen.variants import beside_plans
from mcuformer.compile.figures import Figures
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.placed import placed
from mcuformer.compile.points import check_grids, evidence_of, joined_points
from mcuformer.compile.quantise import Measured, measured, quantised
from mcuformer.compile.source import read_source
from mcuformer.compile.variant_bits import task_bits
from mcuformer.errors import UsageError
from mcuformer.frontend.load import imported
from mcuformer.ir.graph import Graph
from mcuformer.quant.policy import Mode
from mcuformer.quant.tasks import AdaptedTask, lower_tasks
from mcuformer.util.progress import Progress


def plan_tasks(options: CompileOptions, progress: Progress) -> Figures:
    """The figures of the task with most outputs, with those of all."""
    if options.activations == "auto":
        raise UsageError(
            "--activations auto measures one network, and tasks share their grids",
            "give --activations 8 or 16",
        )
    if options.weight_bits == "auto" and not options.runtime_adapters:
        raise UsageError(
            "--weight-bits auto knows what tasks share; folded ones share nothing",
            "give --weight-bits 4, or --adapter-mode runtime",
        )
    found = measured_tasks(options, options.points, progress)
    progress("rounding the weights for all tasks")
    if not options.runtime_adapters:
        return placed_tasks(options, found, [quantised(f)[0] for f in found], (), progress)
    mode: Mode = "16" if options.activations == "16" else "8"
    chosen = task_bits(options, found, mode)
    tasks = [AdaptedTask(f.graph, f.widening.stats) for f in found]
    ints = lower_tasks(tasks, mode, found[0].formats, chosen.bits)
    return placed_tasks(options, found, ints, chosen.notes, progress)


def measured_tasks(
    options: CompileOptions, points: Sequence[Point], progress: Progress
) -> list[Measured]:
    """Each on its own samples. UsageError where they take other inputs."""
    if options.calibration is not None and all(p.calibration for p in points):
        raise UsageError(
            f"--calibration {options.calibration} changes nothing: every task has samples beside its file",
            "leave it away, or take those samples away",
        )
    progress("reading the models")
    own = [
        replace(
            options,
            model=p.model,
            calibration=p.calibration or options.calibration,
            points=(),
            onto=None,
        )
        for p in points
    ]
    sources = [read_source(o) for o in own]
    graphs = [imported(s.raw).replace(name=p.label) for s, p in zip(sources, points, strict=True)]
    found = [measured(s, g, True, progress) for s, g in zip(sources, graphs, strict=True)]
    _check_inputs(found)
    return found


def placed_tasks(
    options: CompileOptions,
    found: Sequence[Measured],
    ints: Sequence[Graph],
    notes: Sequence[str],
    progress: Progress,
) -> Figures:
    """The programs of all tasks, and their package; `notes` on the bits of weights."""
    check_grids(ints)
    main = max(range(len(ints)), key=lambda i: _output_bytes(ints[i]))
    _check_outputs(ints, ints[main])
    progress("scheduling")
    room = beside_plans(ints)
    pairs = zip(found, ints, strict=True)
    points = [replace(placed(f.source, g, evidence_of(f), room), lowered=g) for f, g in pairs]
    return joined_points(options, points, main, notes)


def _check_inputs(found: Sequence[Measured]) -> None:
    """A caller fills one input, whatever the task."""
    first = found[0]
    for other in found[1:]:
        types = [[str(f.graph.type(n)) for n in f.graph.inputs] for f in (first, other)]
        if types[0] != types[1] or first.formats != other.formats:
            raise UsageError(
                f"{other.graph.name} takes other inputs than {first.graph.name}, or normalises them "
                "otherwise",
                "tasks of one network take images of one size, mean and std",
            )


def _check_outputs(graphs: Sequence[Graph], main: Graph) -> None:
    """A caller has room for what `main` gives, and reads it by its types."""
    for graph in graphs:
        types = [
            (graph.type(n), main.type(m)) for n, m in zip(graph.outputs, main.outputs, strict=False)
        ]
        alike = all(t.dtype == m.dtype and t.size_bytes <= m.size_bytes for t, m in types)
        if len(graph.outputs) != len(main.outputs) or not alike:
            raise UsageError(
                f"{graph.name} gives {_shown(graph)}, which do not fit into those of {main.name}, {_shown(main)}",
                "tasks have as many outputs of the same types, and one has most numbers in each",
            )


def _shown(graph: Graph) -> str:
    return ", ".join(str(graph.type(n)) for n in graph.outputs)


def _output_bytes(graph: Graph) -> int:
    return sum(graph.type(n).size_bytes for n in graph.outputs)
