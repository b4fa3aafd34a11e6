"""compile and analyze: ONNX -> float graph -> int graph -> schedule -> C -> ELF -> report."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mcuformer.compile.flash_room import choose_flash, flash_error, linked_error
from mcuformer.compile.options import CompileOptions
from mcuformer.errors import DoesNotFitError, McuformerError, UsageError
from mcuformer.files.atomic import atomic_directory
from mcuformer.files.paths import BOARDS
from mcuformer.ir.graph import Graph
from mcuformer.package.compiled import BOARD, GRAPH, REPORT, CompiledPackage
from mcuformer.report import schema as r
from mcuformer.report.figures import Figures, build_report
from mcuformer.targets.board import Board
from mcuformer.util.names import checked_model_name

if TYPE_CHECKING:
    from mcuformer.memory.model import Region
    from mcuformer.proof.samples import Evidence
    from mcuformer.schedule.program import Program
    from mcuformer.schedule.run import Curve

PORT_STATE_BYTES = 56  # serial port and profile, as linked


class Progress(Protocol):
    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`report` is report.json; `page()` its HTML; `chart()` memory over time as text."""

    report: dict[str, Any]
    page: Callable[[], str]
    chart: Callable[[], str]
    error: McuformerError | None
    diagnostics: Sequence[r.Diagnostic]


def analyze_model(options: CompileOptions, progress: Progress) -> Result:
    """The figures of compile with no toolchain; a model that does not fit has a report too."""
    figures = plan_model(options, progress, needs_data=False)
    if figures.error is not None:
        figures.error.diagnostics = figures.diagnostics
    return _result(figures)


def compile_model(options: CompileOptions, output: Path, progress: Progress) -> Result:
    """Write the package to `output`, whole or not at all; nothing where the model does not fit."""
    with atomic_directory(output) as work:
        figures = plan_model(options, progress, needs_data=True)
        try:
            result = _result(_emitted(figures, work, progress))
        except McuformerError as error:
            error.diagnostics = figures.diagnostics
            raise
        text = json.dumps(result.report, indent=2, allow_nan=False) + "\n"
        (work / REPORT).write_text(text, encoding="utf-8")
    return result


def _emitted(figures: Figures, work: Path, progress: Progress) -> Figures:
    """Written and checked; its error, with the report, where it does not fit."""
    if figures.error is not None:
        figures.error.report = _result(figures).report
        raise figures.error
    return proved(write_model(figures, work, progress), work, progress)


def plan_model(options: CompileOptions, progress: Progress, needs_data: bool) -> Figures:
    """Everything up to the placed program; where it does not fit, the smallest and `error`."""
    from mcuformer.compile.quantise import quantised
    from mcuformer.frontend import load_model
    from mcuformer.targets.board_file import load_board

    _check_options(options)
    board = load_board(options.board)
    progress("reading the model")
    float_graph = load_model(options.model, options.input_shapes)
    float_graph = float_graph.replace(name=options.model.stem)
    graph, evidence = quantised(options, float_graph, needs_data, progress)
    progress("scheduling")
    return _schedule(options, board, graph, evidence)


def _check_options(options: CompileOptions) -> None:
    """Names first, so that a wrong one fails before minutes of work."""
    if options.name is not None:
        checked_model_name(options.name)
    for path, what in ((options.model, "model"), (options.calibration, "calibration data")):
        if path is not None and not path.exists():
            raise UsageError(f"{what} {path} does not exist")
    if options.model.is_dir():
        raise UsageError(f"{options.model} is a directory, not an ONNX file")


def _schedule(options: CompileOptions, board: Board, graph: Graph, evidence: Evidence) -> Figures:
    from mcuformer.compile.misfit import explain
    from mcuformer.ir.verify import verify
    from mcuformer.memory.check import check
    from mcuformer.memory.model import UNLIMITED, arena_regions
    from mcuformer.schedule.run import curve, place

    static = static_estimate(graph)
    beside = static + board.stack_bytes
    arenas = arena_regions(board, beside)
    limit = None if options.ram is None else options.ram - beside
    trade = curve(graph, options.input_mode)
    error: McuformerError | None = None
    try:
        schedule = place(trade, arenas, options.optimize, limit, options.max_instructions)
    except DoesNotFitError:
        wide = [replace(arenas[0], size_bytes=UNLIMITED), *arenas[1:]]
        schedule = place(trade, wide, "ram")
        error = explain(options, graph, trade, arenas, beside, schedule)
    weights_bytes = sum(layer.weights_bytes for layer in schedule.program.layers)
    weights = choose_flash(options.weights, schedule.program.graph, board)
    error = error or flash_error(options, weights, schedule.program.graph, board)
    verify(schedule.program.graph)
    check(schedule.program, schedule.plan)
    return Figures(
        options=options,
        board=board,
        sha256=hashlib.sha256(options.model.read_bytes()).hexdigest(),
        parameters=_parameters(options.model),
        graph=schedule.program.graph,
        program=schedule.program,
        plan=schedule.plan,
        static_bytes=static,
        weights=weights,
        tradeoffs=() if error else tradeoffs(trade, arenas),
        diagnostics=evidence.diagnostics,
        weights_bytes=weights_bytes,
        linked=None,
        error=error,
        evidence=evidence,
    )


def tradeoffs(trade: Curve, arenas: Sequence[Region]) -> tuple[tuple[str, int, int], ...]:
    """(mode, arena bytes, MACs) of every `--optimize`, placed on this board; equal ones once."""
    from mcuformer.schedule.macs import op_macs
    from mcuformer.schedule.run import MODES, fit

    found: dict[tuple[int, int], str] = {}
    for mode in MODES:
        made = fit(trade, arenas, mode)
        macs = sum(op_macs(made.frame.graph, op) for op in made.frame.graph.ops)
        found.setdefault((made.plan.arena_bytes, macs), mode)
    return tuple((mode, size, macs) for (size, macs), mode in found.items())


def annotated(program: Program, model_id: bytes) -> Graph:
    """The program's int graph; its meta says what each trace of the firmware shows, and its id."""
    traces = tuple((t.value, t.first_byte) for t in program.traces)
    meta = {**program.graph.meta, "traces": traces, "model_id": model_id.hex()}
    return program.graph.replace(meta=meta)


def _parameters(path: Path) -> int:
    """Elements of the file's weight tensors: initialisers of more than one float or int8."""
    from onnx import TensorProto

    from mcuformer.frontend.proto import read_model

    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8)
    tensors = [t for t in read_model(path).graph.initializer if t.data_type in kinds]
    return sum(size for size in (math.prod(t.dims) for t in tensors) if size > 1)


def static_estimate(graph: Graph) -> int:
    """.data and .bss of the port before it is linked: a cycle count per layer, and its state."""
    from mcuformer.operators.table import kinds
    from mcuformer.schedule.outline import times

    views = kinds("view")
    counts = 4 * sum(times(graph, op) for op in graph.ops if op.kind not in views)
    return -(-counts // 8) * 8 + PORT_STATE_BYTES


def board_file(name: str, board: Board) -> Path:
    """The file that `name` was loaded from: a path, or one that the package brings."""
    own = name.endswith(".toml") or Path(name).name != name
    return Path(name) if own else BOARDS / f"{board.name}.toml"


def write_model(figures: Figures, work: Path, progress: Progress) -> Figures:
    """C package, firmware and what run and validate read later; the figures with linked sizes."""
    from mcuformer.codegen.package import write_package
    from mcuformer.ir.store import save_graph
    from mcuformer.targets.elf import read_elf, usage
    from mcuformer.targets.elf_checks import elf_problems
    from mcuformer.targets.firmware import build_firmware

    options, board = figures.options, figures.board
    progress("writing C")
    package = write_package(
        work, figures.program, figures.plan, board, figures.weights, options.name
    )
    save_graph(annotated(figures.program, package.model_id), work / GRAPH)
    shutil.copyfile(board_file(options.board, board), work / BOARD)
    figures = replace(figures, weights_bytes=package.weights_bytes)
    if options.emit_only or board.core == "host":
        return figures
    progress("building the firmware")
    elf = read_elf(build_firmware(work, board))
    broken = elf_problems(elf, package.name)
    if broken:
        raise McuformerError("the firmware breaks its promises: " + "; ".join(broken))
    if not options.save_temps:
        shutil.rmtree(work / "build" / "objects", ignore_errors=True)
    linked = usage(elf, board)
    too_much = linked_error(options, sum(linked.regions[m.name] for m in board.flashes))
    if too_much is not None:
        raise too_much
    return replace(figures, linked=linked)


def proved(figures: Figures, work: Path, progress: Progress) -> Figures:
    """The figures with what the check of the emitted code found (mcuformer/proof)."""
    from mcuformer.ir.store import load_graph
    from mcuformer.proof import check_emitted

    if not figures.options.check:
        return figures
    progress("checking what was written")
    report = r.to_dict(build_report(figures))
    package = CompiledPackage(work, report, load_graph(work / GRAPH), figures.board)
    found = check_emitted(package, figures.evidence, figures.options)
    return replace(
        figures, checked=found.checked, diagnostics=(*figures.diagnostics, *found.diagnostics)
    )


def _result(figures: Figures) -> Result:
    report = build_report(figures)
    wrong = r.problems(report)
    if wrong:
        raise McuformerError("the report contradicts itself: " + "; ".join(wrong))
    return Result(
        report=r.to_dict(report),
        page=lambda: _page(figures, report),
        chart=lambda: _chart(figures),
        error=figures.error,
        diagnostics=report.diagnostics,
    )


def _page(figures: Figures, report: r.Report) -> str:
    from mcuformer.report.page import page
    from mcuformer.report.timeline import timeline

    return page(report, timeline(figures.program, figures.plan))


def _chart(figures: Figures) -> str:
    from mcuformer.report.timeline import chart, timeline

    return chart(timeline(figures.program, figures.plan))
