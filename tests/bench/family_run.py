"""One row of family_table.py: a model planned, or compiled and run whole in Unicorn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from family_bound import largest_set
from family_list import BOARDS, Model
from graph_set import largest_of_graph

from mcuformer.compile.figures import build_report
from mcuformer.compile.options import CompileOptions, Optimize
from mcuformer.compile.stages import compile_model, plan_model
from mcuformer.errors import McuformerError
from mcuformer.inputs.codec import device_bytes
from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage, open_package
from mcuformer.package.execution import Executor, codec_of
from mcuformer.report.schema import to_dict
from mcuformer.validate.per_layer import traced_equal

SLACK = 4096  # bytes beside LIMITS["set"] times the largest set
LIMITS = {"set": 1.1, "instructions": 2.0, "weights": 8.0}
TIMEOUT_S = 3600
HEAD = (
    f"{'model':28} {'stream':>7} {'ceiling':>8} {'stretch':>8} {'total':>8} {'measured':>8} {'arena':>8} "
    f"{'/set':>5} {'/graph':>6} {'M instr':>8} {'/speed':>6} {'weights':>7}  {'bits':18} verdict"
)
MARKDOWN = (
    "| model | stream | at most | stretch | total | measured | arena | set | graph | M instructions "
    "| slower | weights | bits |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """Of one model. In bytes `largest_set` of whole values, `graph_set` of the graph's tensors; `slower` and
    `weights` are ratios to `--optimize speed` on a board with room, both of estimates. Of the run in Unicorn,
    None where there was none: `measured` instructions, and the bytes of SRAM that changed."""

    model: Model
    total: int
    arena: int
    largest_set: int
    graph_set: int
    instructions: int
    slower: float
    weights: float
    peak: str
    measured: int | None = None
    high_water: int | None = None
    bits: str = "-"

    @property
    def faults(self) -> list[str]:
        found = {
            f"{self.total - self.model.ceiling:,} B above": self.total > self.model.ceiling,
            "graph": self.arena > within(self.graph_set),
            "instructions": self.slower > LIMITS["instructions"],
            "weights": self.weights > LIMITS["weights"],
            "bits": not self.bits.startswith(("-", "equal")),
            "high water": (self.high_water or 0) > self.total,
        }
        return [what for what, wrong in found.items() if wrong]

    def text(self) -> str:
        m, stretch = self.model, self.model.stretch
        verdict = ", ".join(self.faults) or ("stretch" if self.total <= (stretch or 0) else "ok")
        count = self.measured or self.instructions
        return (
            f"{m.name:28} {m.stream:7,} {m.ceiling:8,} {stretch or 0:8,} {self.total:8,} "
            f"{self.high_water or 0:8,} {self.arena:8,} {self.arena / self.largest_set:5.2f} "
            f"{self.arena / self.graph_set:6.2f} "
            f"{count / 1e6:8,.0f} {self.slower:6.2f} {self.weights:7.2f}  {self.bits:18} {verdict}; "
            f"peak: {self.peak}"
        )

    def markdown(self) -> str:
        """As docs/families.md has it."""
        m = self.model
        cells = (
            m.name, f"{m.stream:,}", f"{m.ceiling:,}", f"{m.stretch:,}" if m.stretch else "–",
            f"**{self.total:,}**", f"{self.high_water or 0:,}", f"{self.arena:,}",
            f"{self.arena / self.largest_set:.2f}", f"{self.arena / self.graph_set:.2f}",
            f"{(self.measured or self.instructions) / 1e6:,.0f}",
            f"{self.slower:.2f}", f"{self.weights:.2f}", self.bits,
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"


def within(largest: int) -> float:
    """The most that an arena may take for a largest set of so many bytes."""
    return LIMITS["set"] * largest + SLACK


def keep(row: Row, work: Path) -> None:
    """So that a stop loses nothing, and the table can be printed again."""
    text = json.dumps(asdict(row) | {"model": row.model.name}, indent=1)
    (work / f"{row.model.name}.row.json").write_text(text, encoding="utf-8")


def kept(model: Model, work: Path) -> Row | None:
    path = work / f"{model.name}.row.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Row(**found | {"model": model})


def exported(model: Model, work: Path) -> Path:
    return work / f"{model.name}.onnx"


def planned(model: Model, work: Path) -> Row:
    """From shapes and weights: no data, no emulator."""
    made = plan_model(_options(model, work, model.board, "ram"), silent, needs_data=False)
    return _row(model, work, made.graph, to_dict(build_report(made)))


def executed(model: Model, work: Path) -> Row:
    """Compiled, and run in Unicorn; what fails is a row too."""
    folder = work / f"{model.name}.package"
    try:
        options = _options(model, work, model.board, "ram")
        compile_model(replace(options, calibration=_samples(model, work)), folder, silent)
        package = open_package(folder)
        row = _row(model, work, package.graph, package.report)
        return _ran(row, package, _samples(model, work))
    except McuformerError as error:
        return replace(planned(model, work), bits=f"{type(error).__name__}: {error}"[:60])


def _ran(row: Row, package: CompiledPackage, samples: Path) -> Row:
    """The package's own firmware, and a build that shows every layer's rows, on the first image."""
    with np.load(samples) as file:
        ints = codec_of(package).to_int((file["x"][:1],))
    values = {name: x[0] for name, x in run_int(package.graph, ints).items()}
    with Executor(package, "unicorn", timeout_s=TIMEOUT_S) as executor:
        result = executor.run(device_bytes(ints))
    with Executor(package, "unicorn", trace=True, timeout_s=TIMEOUT_S) as executor:
        trace = executor.run(device_bytes(ints)).inferences[0].trace or {}
    inference = result.inferences[0]
    wanted = b"".join(np.ascontiguousarray(values[o]).tobytes() for o in package.graph.outputs)
    equal = traced_equal(package.graph.meta["traces"], trace, values)
    wrong = [name for name, same in equal.items() if not same]
    bits = f"equal, {len(equal)} traced" if inference.output == wanted else "DIFFER"
    if wrong:
        bits = f"DIFFER from {wrong[0]}"
    return replace(
        row, bits=bits, measured=inference.instructions, high_water=result.sram_high_water_bytes
    )


def _row(model: Model, work: Path, graph: Graph, report: Mapping[str, Any]) -> Row:
    fast = plan_model(_options(model, work, "f746_room", "speed"), silent, needs_data=False)
    room, memory = to_dict(build_report(fast)), report["memory"]
    least = _sum(report, "estimated_instructions")
    return Row(
        model, memory["sram_total_bytes"] or 0, memory["arena_bytes"], largest_set(graph, "bands"),
        largest_of_graph(graph, "bands").size_bytes, least, least / _sum(room, "estimated_instructions"),
        _sum(report, "weight_bytes_read") / _sum(room, "weight_bytes_read"), memory["peak_layer"],
    )  # fmt: skip


def _sum(report: Mapping[str, Any], key: str) -> int:
    return sum(layer[key] for layer in report["layers"])


def _options(model: Model, work: Path, board: str, optimize: Optimize) -> CompileOptions:
    weights = "qspi" if board.startswith("f746") else "internal"
    return CompileOptions(
        model=exported(model, work), board=str(BOARDS / f"{board}.toml"), optimize=optimize,
        input_mode="bands", output_mode="lines" if model.lines else "resident", weights=weights,
        check=False,
    )  # fmt: skip


def _samples(model: Model, work: Path) -> Path:
    """Two images of noise, made once."""
    path = work / f"{model.name}.npz"
    if not path.exists():
        from onnx import load

        dims = load(exported(model, work), load_external_data=False).graph.input[0].type.tensor_type
        shape = [d.dim_value for d in dims.shape.dim][1:]
        x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
        np.savez(path, x=x)
    return path


def silent(stage: str, done: int = 0, total: int = 0) -> None:
    pass
