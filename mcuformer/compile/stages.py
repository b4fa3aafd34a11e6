"""`compile_model` and `analyze_model`: the stages of a compilation in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcuformer.compile.figures import Figures, build_report
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.temps import FOLDER, Temps
from mcuformer.errors import Diagnostic, McuformerError
from mcuformer.files.atomic import atomic_directory
from mcuformer.package.compiled import GRAPH, REPORT, CompiledPackage
from mcuformer.report import schema
from mcuformer.util.progress import Progress

# A stage imports what it needs: --help and a wrong name cost no second.


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`report` is report.json; `page()` its HTML; `chart()` memory over time as text."""

    report: dict[str, Any]
    page: Callable[[], str]
    chart: Callable[[], str]
    error: McuformerError | None
    diagnostics: Sequence[Diagnostic]


def analyze_model(options: CompileOptions, progress: Progress) -> Result:
    """The figures of compile with no toolchain; a model that does not fit has a report too."""
    figures = plan_model(options, progress, needs_data=False)
    if figures.error is not None:
        figures.error.diagnostics = figures.diagnostics
    return _result(figures)


def compile_model(options: CompileOptions, output: Path, progress: Progress) -> Result:
    """Write the package to `output`, whole or not at all; nothing where the model does not fit."""
    with atomic_directory(output) as work:
        temps = Temps(work / FOLDER if options.save_temps else None)
        figures = plan_model(options, progress, needs_data=True, temps=temps)
        try:
            _require_fit(figures)
            figures = write_model(figures, work, progress)
            figures = _checked(figures, work, progress)
            result = _result(figures)
        except McuformerError as error:
            error.diagnostics = figures.diagnostics
            raise
        text = json.dumps(result.report, indent=2, allow_nan=False) + "\n"
        (work / REPORT).write_text(text, encoding="utf-8")
    return result


def plan_model(
    options: CompileOptions, progress: Progress, needs_data: bool, temps: Temps | None = None
) -> Figures:
    """The stages up to the placed program; where it does not fit, the smallest and `error`."""
    temps = temps or Temps()
    if options.points:
        figures = _plan_several(options, progress)
        for label, point in zip(figures.options.points, figures.points, strict=True):
            _leave_stages(temps, label.label, point)
        return figures
    from mcuformer.compile.localised import localised
    from mcuformer.compile.placed import scheduled
    from mcuformer.compile.quantise import measured
    from mcuformer.compile.source import read_source
    from mcuformer.frontend.load import imported

    progress("reading the model")
    source = read_source(options)
    temps.graph("onnx", source.raw)
    float_graph = imported(source.raw).replace(name=options.model.stem)
    float_graph = localised(float_graph, options.localisation)
    temps.graph("float", float_graph)
    found = measured(source, float_graph, needs_data, progress)
    temps.graph("prepared", found.prepared)
    int_graph, figures = scheduled(found, progress)
    temps.graph("int", int_graph)
    temps.program("program", figures.program, figures.plan)
    temps.plan("plan", figures.program, figures.plan)
    return figures


def _plan_several(options: CompileOptions, progress: Progress) -> Figures:
    if options.onto:
        from mcuformer.compile.further import plan_further

        return plan_further(options, progress)
    if options.adapter_mode:
        from mcuformer.compile.tasks import plan_tasks

        return plan_tasks(options, progress)
    from mcuformer.compile.points import plan_points

    return plan_points(options, progress)


def _leave_stages(temps: Temps, label: str, point: Figures) -> None:
    """Of one of several programs."""
    temps.graph(f"onnx-{label}", point.source.raw)
    temps.graph(f"prepared-{label}", point.evidence.prepared)
    temps.graph(f"int-{label}", point.graph)
    temps.program(f"program-{label}", point.program, point.plan)
    temps.plan(f"plan-{label}", point.program, point.plan)


def write_model(figures: Figures, work: Path, progress: Progress) -> Figures:
    """The stages that write: C, and the firmware where one is wanted and the board runs one."""
    from mcuformer.compile.emitted import linked, written

    progress("writing C")
    figures = written(figures, work)
    if figures.source.options.emit_only or not figures.source.board.has_firmware:
        return figures
    progress("building the firmware")
    return linked(figures, work)


def _require_fit(figures: Figures) -> None:
    """Its error, with the report, where it does not fit."""
    if figures.error is not None:
        figures.error.report = _result(figures).report
        raise figures.error


def _checked(figures: Figures, work: Path, progress: Progress) -> Figures:
    """The figures with what the check of the emitted code found (mcuformer/proof)."""
    from mcuformer.ir.store import load_graph
    from mcuformer.proof import check_emitted
    from mcuformer.proof.reference import OnnxFile

    source = figures.source
    if not source.options.check:
        return figures
    progress("checking what was written")
    report = schema.to_dict(build_report(figures))
    package = CompiledPackage(work, report, load_graph(work / GRAPH), source.board)
    if figures.points:
        from mcuformer.compile.points import checked_points

        return checked_points(figures, package)
    file = OnnxFile(source.options.model, source.raw)
    found = check_emitted(package, figures.evidence, file, source.options.accept_sqnr)
    return replace(
        figures, checked=found.checked, diagnostics=(*figures.diagnostics, *found.diagnostics)
    )


def _result(figures: Figures) -> Result:
    report = build_report(figures)
    wrong = schema.problems(report)
    if wrong:
        raise McuformerError("the report contradicts itself: " + "; ".join(wrong))
    return Result(
        report=schema.to_dict(report),
        page=lambda: _page(figures, report),
        chart=lambda: _chart(figures),
        error=figures.error,
        diagnostics=report.diagnostics,
    )


def _page(figures: Figures, report: schema.Report) -> str:
    from mcuformer.report.page import page
    from mcuformer.report.timeline import timeline

    return page(report, timeline(figures.program, figures.plan), figures.program.runs)


def _chart(figures: Figures) -> str:
    from mcuformer.report.timeline import chart, timeline

    return chart(timeline(figures.program, figures.plan))
