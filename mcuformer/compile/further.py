"""`compile --onto`: a package with one task more, whose network, grids and other tasks stay as they are.

The tasks that it has come out of the package as integers; their files are read again for what a report and
the check of the code say of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.compile.figures import Figures
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.points import check_grids
from mcuformer.compile.quantise import Measured
from mcuformer.compile.tasks import measured_tasks, placed_tasks
from mcuformer.errors import UsageError, ValidationError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.store import load_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import TASK_GRAPH, VARIANTS, CompiledPackage, open_package
from mcuformer.quant import lower
from mcuformer.quant.further_task import lower_further
from mcuformer.quant.tasks import AdaptedTask
from mcuformer.util.names import model_identifier
from mcuformer.util.progress import Progress

MOST_LOST = 1.0  # points, by the kept grids
VALIDATION = "validation.npz"  # beside the samples: x and y


def plan_further(options: CompileOptions, progress: Progress) -> Figures:
    """The figures of all tasks. ValidationError where the kept grids cost the new one too much."""
    assert options.onto is not None
    package = open_package(options.onto)
    _check_package(package, options)
    rows = package.report["variants"]
    for row in rows:
        _check_file(row)
    points = [*map(_point, rows), *options.points]
    found = measured_tasks(options, points, progress)
    folder = package.directory / VARIANTS
    ints = [load_graph(folder / TASK_GRAPH.format(row["number"])) for row in rows]
    progress("rounding the adapters")
    known, new = (AdaptedTask(f.graph, f.widening.stats) for f in (found[0], found[-1]))
    made = lower_further(new, known, ints[0], found[-1].formats)
    check_grids([*ints, made])
    _refuse_loss(points[-1], found[-1], made)
    kept = {"points": tuple(points), "onto": None, "name": options.name or _name(package)}
    joined = CompileOptions(**{**_fields(options), **kept})
    return placed_tasks(joined, found, [*ints, made], (), progress)


def _fields(options: CompileOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in CompileOptions.__dataclass_fields__}


def _name(package: CompiledPackage) -> str:
    """The prefix in C, by which programs call the package: made of its chosen task where none was given."""
    report = package.report
    main = next(r for r in report["variants"] if r["sha256"] == report["model"]["sha256"])
    return report["options"]["name"] or model_identifier(main["label"])


def _check_package(package: CompiledPackage, options: CompileOptions) -> None:
    report = package.report
    if options.weight_bits != "8":
        raise UsageError(
            "--onto keeps the network's weights as they are, in the bits that they have",
            "leave --weight-bits away, or compile all tasks anew without --onto",
        )
    if options.activations != "8":
        raise UsageError(
            "--onto keeps the network's activations as they are, of 8 bits",
            "leave --activations away, or compile all tasks anew without --onto",
        )
    if report["options"].get("adapter_mode") != "runtime":
        raise UsageError(
            f"{package.directory} has no tasks over one network",
            "compile --adapters A,B --adapter-mode runtime makes such a package",
        )
    labels = {row["label"] for row in report["variants"]}
    if options.points[0].label in labels or len(options.points) > 1:
        raise UsageError(
            f"--adapters {','.join(p.label for p in options.points)} is not one new task",
            f"the package has {', '.join(sorted(labels))}",
        )


def _check_file(row: dict[str, Any]) -> None:
    """A task's file is read again."""
    path = Path(row["path"])
    there = path.is_file()
    if not there or hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
        raise UsageError(
            f"{path} is {'not what' if there else 'not there, from which'} task {row['label']} of the package "
            "was compiled" + " from" * there,
            "bring that file back: --onto reads the files of all tasks again, where the package has them from",
        )


def _point(row: dict[str, Any]) -> Point:
    model = Path(row["path"])
    places = (model.with_suffix(".npz"), model.parent / "calibration.npz")
    return Point(row["label"], model, next((p for p in places if p.is_file()), None))


def _refuse_loss(point: Point, found: Measured, made: Graph) -> None:
    """By labels where there are some, else by what the float model says of the calibration samples."""
    ints, wanted = _labelled(point, found, made)
    alone = lower(found.graph, found.widening.stats, "8", found.formats)
    kept, own = (_percent(g, ints, wanted) for g in (made, alone))
    if own - kept > MOST_LOST:
        raise ValidationError(
            f"task {point.label} is right on {kept:.1f} % of {len(wanted)} samples by the package's grids, "
            f"on {own:.1f} % by grids of its own: more than {MOST_LOST:g} point is lost",
            "compile all tasks anew without --onto: then grids are those of all of them",
        )


def _labelled(point: Point, found: Measured, made: Graph) -> tuple[NDArray, NDArray]:
    """Integers of the input, and classes."""
    name = made.inputs[0]
    beside = None if point.calibration is None else point.calibration.parent / VALIDATION
    if beside is not None and beside.is_file() and made.type(name).dtype == "uint8":
        with np.load(beside) as kept:
            return kept["x"].transpose(0, 2, 3, 1), kept["y"]
    stats = found.widening.stats
    assert stats.samples is not None
    logits = stats.samples[0]
    for op, env in eval_steps(found.prepared, stats.samples):
        logits = env[op.outputs[0]]
    qparams = made.type(name).qparams
    assert qparams is not None
    ints = qparams.quantise(stats.samples[0], made.type(name).dtype)
    return ints, logits.reshape(len(logits), -1).argmax(axis=1)


def _percent(graph: Graph, ints: NDArray, wanted: NDArray) -> float:
    logits = run_int(graph, [ints])[graph.outputs[0]]
    return float(100 * (logits.reshape(len(wanted), -1).argmax(axis=1) == wanted).mean())
