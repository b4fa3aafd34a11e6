"""report.json of a planned model, and of a linked one: every figure with its source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from mcuformer import __version__
from mcuformer.compile.leaving import whole_outputs
from mcuformer.compile.localised import report_of
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.source import Source
from mcuformer.errors import Diagnostic, McuformerError
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import MemoryPlan
from mcuformer.program.program import Program
from mcuformer.proof.samples import Evidence
from mcuformer.report import schema as r
from mcuformer.report.rows import layer_rows, memory_section, peak_layer
from mcuformer.targets.board import Board, WeightsFlash
from mcuformer.targets.elf import Usage


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What is known of a compilation: of its source, of what was planned, and of what was written.

    `weights`: the flash that holds them, of several programs known once they are packed. `tradeoffs`:
    --optimize, arena bytes, MACs. `name`: the prefix in C, once it is written; `linked`: None where there is no
    ELF. `points`: of several widths each by itself, in their order; the rest is then the full one's, with an
    arena for all. `lowered`: of a task, the int graph before any way rewrote it, on which a further task
    builds. `percent`: of the calibration samples, where these have labels, those that the checked program
    classes right.
    """

    source: Source
    evidence: Evidence
    program: Program
    plan: MemoryPlan
    static_bytes: int
    weights: WeightsFlash
    weights_bytes: int
    tradeoffs: tuple[tuple[str, int, int], ...]
    error: McuformerError | None
    diagnostics: tuple[Diagnostic, ...]
    name: str = ""
    linked: Usage | None = None
    checked: r.Checked | None = None
    points: tuple[Figures, ...] = ()
    lowered: Graph | None = None
    percent: float | None = None

    @property
    def options(self) -> CompileOptions:
        return self.source.options

    @property
    def board(self) -> Board:
        return self.source.board

    @property
    def graph(self) -> Graph:
        """The int graph that defines every number of the program."""
        return self.program.graph


def build_report(f: Figures) -> r.Report:
    static = f.linked.static_bytes if f.linked else f.static_bytes
    stack = f.board.stack_bytes
    layers = layer_rows(f.program, f.plan)
    memory = memory_section(
        f.program,
        f.plan,
        regions=_sram_uses(f, static + stack),
        available_bytes=f.board.sram_bytes,
        static_bytes=static,
        stack_bytes=stack,
    )
    if f.points:
        most = max(f.points, key=lambda p: p.plan.lower_bound_bytes)
        memory = replace(memory, peak_layer=peak_layer(most.program, most.plan))
    flash, chosen = _flash(f), f.options.localisation
    full = [u for u in (*memory.regions, *flash.regions) if (u.used_bytes or 0) > u.size_bytes]
    return r.Report(
        tool=r.Tool(name="mcuformer", version=__version__),
        model=_model(f, sum(layer.macs for layer in layers)),
        board=r.BoardSizes(
            name=f.board.name, sram_bytes=f.board.sram_bytes, flash_bytes=f.board.flash_bytes
        ),
        options=f.options.for_report() | {"weights_in": f.weights},
        memory=memory,
        flash=flash,
        fits=f.error is None and not full,
        layers=layers,
        estimate=_estimate(f, layers),
        tradeoffs=tuple(
            r.TradeOff(optimize=mode, sram_total_bytes=arena + static + stack, macs=macs)
            for mode, arena, macs in f.tradeoffs
        ),
        checked=f.checked,
        localisation=() if chosen is None else report_of(chosen, f.graph, layers),
        variants=tuple(_variant(f, i, static + stack) for i in range(len(f.points))),
        diagnostics=(
            *f.diagnostics,
            *_unused_inputs(f),
            *whole_outputs(f.program, f.options),
            *_reasons(f),
            *_failure(f),
        ),
    )


def _variant(f: Figures, number: int, beside_bytes: int) -> r.VariantRow:
    """A width: what it needs beside stack and static data, and how long it takes."""
    point = f.points[number]
    layers = layer_rows(point.program, point.plan)
    estimate = _estimate(f, layers)
    assert estimate.instructions is not None
    return r.VariantRow(
        number=number,
        label=f.options.points[number].label,
        path=str(point.options.model),
        sha256=point.source.sha256,
        parameters=point.source.parameters,
        macs=sum(layer.macs for layer in layers),
        arena_bytes=point.plan.arena_bytes,
        sram_total_bytes=point.plan.arena_bytes + beside_bytes,
        instructions=estimate.instructions,
        seconds=estimate.seconds,
        sqnr_db=None if point.checked is None else point.checked.sqnr_db,
        accuracy_percent=point.percent,
    )


def _model(f: Figures, macs: int) -> r.Model:
    meta = f.graph.meta
    return r.Model(
        path=str(f.options.model),
        sha256=f.source.sha256,
        opset=int(meta["opset"]),
        parameters=f.source.parameters,
        macs=macs,
        inputs=tuple(
            _tensor(f.graph, *row)
            for row in zip(f.graph.inputs, meta["input_names"], meta["input_shapes"], strict=True)
        ),
        outputs=tuple(
            _tensor(f.graph, *row)
            for row in zip(
                f.graph.outputs, meta["output_names"], meta["output_shapes"], strict=True
            )
        ),
    )


def _tensor(graph: Graph, value: str, name: str, shape: Iterable[int]) -> r.ModelTensor:
    """`name` is the ONNX one; scale and zero point stand where one pair holds for all channels."""
    type_ = graph.type(value)
    scale = np.unique(type_.qparams.scale) if type_.qparams else np.empty(0)
    zero = np.unique(type_.qparams.zero_point) if type_.qparams else np.empty(0)
    single = scale.size == 1 and zero.size == 1 and float(zero[0]).is_integer()
    return r.ModelTensor(
        name=name,
        shape=tuple(shape),
        dtype=type_.dtype,
        scale=float(scale[0]) if single else None,
        zero_point=int(zero[0]) if single else None,
    )


def _sram_uses(f: Figures, beside_bytes: int) -> list[r.RegionUse]:
    """Stack, .data and .bss lie in the first region, before its part of the arena."""
    uses = []
    for index, (region, use) in enumerate(zip(f.board.arenas, f.plan.arenas, strict=True)):
        used = use.used_bytes + (beside_bytes if index == 0 else 0)
        uses.append(r.RegionUse(name=region.name, used_bytes=used, size_bytes=region.size_bytes))
    return uses


def _flash(f: Figures) -> r.Flash:
    regions = [m for m in f.board.memory if m.kind in ("flash", "qspi")]
    if f.linked is None:
        uses = tuple(
            r.RegionUse(name=m.name, used_bytes=None, size_bytes=m.size_bytes) for m in regions
        )
        return r.Flash(
            weights_bytes=f.weights_bytes, code_bytes=None, total_bytes=None, regions=uses
        )
    used = f.linked.regions
    total = sum(used[m.name] for m in regions)
    return r.Flash(
        weights_bytes=f.weights_bytes,
        code_bytes=total - f.weights_bytes,
        total_bytes=total,
        regions=tuple(
            r.RegionUse(name=m.name, used_bytes=used[m.name], size_bytes=m.size_bytes)
            for m in regions
        ),
    )


def _estimate(f: Figures, layers: Iterable[r.LayerRow]) -> r.Estimate:
    """Of the layers of one program of a package: one cycle per instruction, and half a byte per clock for
    weights that come over QSPI.
    """
    rows = list(layers)
    instructions = sum(row.estimated_instructions for row in rows)
    if f.board.clock is None:
        return r.Estimate(instructions=instructions, seconds=None)
    seconds = instructions / f.board.clock.cpu_hz
    if f.weights == "qspi" and f.board.qspi is not None:
        qspi_hz = f.board.clock.cpu_hz / f.board.qspi.prescaler
        seconds += 2 * sum(row.weight_bytes_read for row in rows) / qspi_hz
    return r.Estimate(instructions=instructions, seconds=seconds)


def _reasons(f: Figures) -> list[Diagnostic]:
    """Why each None in the report is one."""
    reasons = []
    if f.linked is None:
        own = f.board.has_firmware or f.board.is_host
        why = "known after linking only" + ("" if own else ", which the program of the user is")
        reasons += [r.unknown(f"flash.{n}", why) for n in ("code_bytes", "total_bytes")]
        count = sum(m.kind in ("flash", "qspi") for m in f.board.memory)
        reasons += [r.unknown(f"flash.regions.{i}.used_bytes", why) for i in range(count)]
    if f.checked is None and all(d.where != "checked" for d in f.diagnostics):
        why = "--no-check" if not f.options.check else "compile runs the code, analyze writes none"
        reasons.append(r.unknown("checked", why))
    if f.board.clock is None:
        places = ["estimate", *(f"variants.{i}" for i in range(len(f.points)))]
        reasons += [r.unknown(f"{p}.seconds", "the board file states no clock") for p in places]
    for i, point in enumerate(f.points):
        if point.checked is None or point.checked.sqnr_db is None:
            why = f"the code of this {f.options.kind} was not run, or has no error that can be told"
            reasons.append(r.unknown(f"variants.{i}.sqnr_db", why))
        if point.percent is None:
            why = "--no-check" if point.checked is None else "the calibration data have no labels"
            reasons.append(r.unknown(f"variants.{i}.accuracy_percent", why))
    for kind, values in (("inputs", f.graph.inputs), ("outputs", f.graph.outputs)):
        for i, value in enumerate(values):
            if _tensor(f.graph, value, "", ()).scale is None:
                why = "no single pair of integers: every channel has its own; graph.npz has them"
                reasons += [
                    r.unknown(f"model.{kind}.{i}.{n}", why) for n in ("scale", "zero_point")
                ]
    return reasons


def _unused_inputs(f: Figures) -> list[Diagnostic]:
    """Inputs that have their place and no effect."""
    readers = f.graph.consumers()
    pairs = zip(f.graph.inputs, f.graph.meta["input_names"], strict=True)
    return [
        Diagnostic(
            severity="warning",
            code="unused-input",
            where=name,
            message=f"input {name}: no output depends on it",
        )
        for value, name in pairs
        if not readers[value]
    ]


def _failure(f: Figures) -> list[Diagnostic]:
    if f.error is None:
        return []
    return [
        Diagnostic(
            severity="error",
            code="does-not-fit",
            where=None,
            message=f.error.message,
            hint=f.error.hint,
        )
    ]
