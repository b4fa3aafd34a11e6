"""The stages from a placed program to a package on disk: C, firmware, and what run and validate read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mcuformer.codegen.package import write_variants
from mcuformer.codegen.variants import Variant, Variants, one
from mcuformer.compile.figures import Figures
from mcuformer.compile.flash_room import linked_error, packed_error
from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Graph
from mcuformer.ir.store import save_graph
from mcuformer.package.compiled import BOARD, GRAPH, TASK_GRAPH, VARIANTS
from mcuformer.program.program import Program
from mcuformer.targets.elf import read_elf, usage
from mcuformer.targets.elf_checks import elf_problems
from mcuformer.targets.firmware import build_firmware


def written(figures: Figures, work: Path) -> Figures:
    """The C package, its graph and its board, in `work`; the figures with the bytes that were packed."""
    options, board = figures.source.options, figures.source.board
    place = options.weights if figures.weights == "internal" else "qspi"
    package = write_variants(work, variants(figures), board, place, options.name)
    if figures.points and (options.emit_only or not board.has_firmware):  # no linker will say it
        error = packed_error(options, package.weights, package.weights_bytes, board)
        if error is not None:
            raise error
    save_graph(annotated(figures.program, package.model_id), work / GRAPH)
    if figures.points:
        (work / VARIANTS).mkdir()
    for number, point in enumerate(figures.points):
        graph = annotated(point.program, package.model_id)
        save_graph(graph, work / VARIANTS / f"{number}.npz")
        if point.lowered is not None:
            save_graph(point.lowered, work / VARIANTS / TASK_GRAPH.format(number))
    shutil.copyfile(figures.source.board_file, work / BOARD)
    return replace(
        figures, name=package.name, weights=package.weights, weights_bytes=package.weights_bytes
    )


def variants(figures: Figures) -> Variants:
    """The programs of a package."""
    if not figures.points:
        return one(figures.program, figures.plan)
    points = zip(figures.options.points, figures.points, strict=True)
    kind = figures.options.kind
    made = tuple(Variant(f.program, f.plan, f"{kind} {p.label}") for p, f in points)
    main = [f.program for f in figures.points].index(figures.program)
    return Variants(made, main, kind)


def annotated(program: Program, model_id: bytes) -> Graph:
    """The program's int graph; its meta says what each trace of the firmware shows, and its id."""
    traces = tuple((t.value, t.first_byte) for t in program.traces)
    meta = {**program.graph.meta, "traces": traces, "model_id": model_id.hex()}
    return program.graph.replace(meta=meta)


def linked(figures: Figures, work: Path) -> Figures:
    """The firmware of what was written; the figures with its linked sizes."""
    options, board = figures.source.options, figures.source.board
    elf = read_elf(build_firmware(work, board))
    broken = elf_problems(elf, figures.name)
    if broken:
        raise McuformerError("the firmware breaks its promises: " + "; ".join(broken))
    if not options.save_temps:
        shutil.rmtree(work / "build" / "objects", ignore_errors=True)
    sizes = usage(elf, board)
    too_much = linked_error(options, sum(sizes.regions[m.name] for m in board.flashes))
    if too_much is not None:
        raise too_much
    return replace(figures, linked=sizes)
