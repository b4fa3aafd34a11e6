"""SRAM and instructions of the papers' families: the table of docs/families.md.

    python tests/bench/family_table.py --python PATH [--only NAME] [--plan-only]

PATH is an interpreter with torch, timm and onnx: a child process of it exports the models of
family_list.py, those of examples/families too. Each is compiled with `--optimize ram --input-mode bands`,
run in Unicorn on one image and compared bit for bit with the integer interpreter. --plan-only runs
nothing: seconds a model. A row fails that is above its ceiling or a limit of LIMITS.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from family_bound import largest_set
from family_list import BOARDS, HERE, Model, chosen

from mcuformer.compile.figures import Figures, build_report
from mcuformer.compile.options import CompileOptions, Optimize
from mcuformer.compile.stages import compile_model, plan_model
from mcuformer.errors import DoesNotFitError, McuformerError
from mcuformer.inputs.codec import device_bytes
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import Executor, codec_of
from mcuformer.report.schema import Report

SLACK = 4096  # bytes beside LIMITS["set"] times the largest set
LIMITS = {"set": 1.1, "instructions": 2.0, "weights": 8.0}
HEAD = (
    f"{'model':28} {'stream':>7} {'ceiling':>8} {'stretch':>8} {'total':>9} {'arena':>9} {'/set':>5} "
    f"{'M instr':>8} {'/speed':>6} {'weights':>7}  {'bits':20} verdict"
)


@dataclass(frozen=True)
class Row:
    """Of one model. `largest_set` in bytes; `slower` and `weights` are ratios to `--optimize speed` on a
    board with room; `measured`: instructions in Unicorn, None where it did not run."""

    model: Model
    total: int
    arena: int
    largest_set: int
    instructions: int
    slower: float
    weights: float
    peak: str
    measured: int | None = None
    bits: str = "-"

    @property
    def faults(self) -> list[str]:
        most = LIMITS["set"] * self.largest_set + SLACK
        found = {
            f"{self.total - self.model.ceiling:,} B above": self.total > self.model.ceiling,
            "set": self.arena > most,
            "instructions": self.slower > LIMITS["instructions"],
            "weights": self.weights > LIMITS["weights"],
            "bits": self.bits not in {"-", "equal"},
        }
        return [what for what, wrong in found.items() if wrong]

    def text(self) -> str:
        m, stretch = self.model, self.model.stretch
        verdict = ", ".join(self.faults) or ("stretch" if self.total <= (stretch or 0) else "ok")
        count = self.measured or self.instructions
        return (
            f"{m.name:28} {m.stream:7,} {m.ceiling:8,} {stretch or 0:8,} {self.total:9,} {self.arena:9,} "
            f"{self.arena / self.largest_set:5.2f} {count / 1e6:8,.0f} {self.slower:6.2f} {self.weights:7.2f}"
            f"  {self.bits:20} {verdict}; peak: {self.peak}"
        )


def main() -> int:
    args = _arguments()
    models = chosen(args.only)
    args.work.mkdir(parents=True, exist_ok=True)
    absent = [m.name for m in models if not _file(m, args.work).exists()]
    if absent and args.python:
        argv = [args.python, str(HERE / "family_export.py"), str(args.work), *absent]
        subprocess.run(argv, check=False)
    start, rows = time.monotonic(), []
    print(HEAD)
    for model in models:
        if not _file(model, args.work).exists():
            print(f"{model.name:28} was not exported")
            continue
        rows.append(planned(model, args.work) if args.plan_only else executed(model, args.work))
        print(rows[-1].text(), flush=True)
    bad = sum(bool(row.faults) for row in rows) + len(models) - len(rows)
    print(f"{bad} rows fail; {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--python", metavar="PATH", help="exports what is not yet in --work")
    add("--work", type=Path, default=Path("build/families"), help="exports, kept and reused")
    add("--only", metavar="NAME", action="append", default=[], help="part of a name; may repeat")
    add("--plan-only", action="store_true", help="run nothing in Unicorn")
    return parser.parse_args()


def _file(model: Model, work: Path) -> Path:
    return work / f"{model.name}.onnx"


def _options(model: Model, work: Path, board: str, optimize: Optimize) -> CompileOptions:
    weights = "qspi" if board.startswith("f746") else "internal"
    return CompileOptions(
        model=_file(model, work), board=str(BOARDS / f"{board}.toml"), optimize=optimize,
        input_mode="bands", output_mode="lines" if model.lines else "resident", weights=weights,
        check=False,
    )  # fmt: skip


def _samples(model: Model, work: Path) -> Path:
    """Two images of noise, made once."""
    path = work / f"{model.name}.npz"
    if not path.exists():
        from onnx import load

        dims = load(_file(model, work), load_external_data=False).graph.input[0].type.tensor_type
        shape = [d.dim_value for d in dims.shape.dim][1:]
        x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
        np.savez(path, x=x)
    return path


def planned(model: Model, work: Path) -> Row:
    """From shapes and weights: no data, no emulator."""
    small = plan_model(_options(model, work, model.board, "ram"), _silent, needs_data=False)
    return _row(model, work, small, build_report(small))


def _row(model: Model, work: Path, small: Figures, report: Report) -> Row:
    fast = plan_model(_options(model, work, "f746_room", "speed"), _silent, needs_data=False)
    room = build_report(fast)
    least, quick = _instructions(report), _instructions(room)
    return Row(
        model, report.memory.sram_total_bytes or 0, report.memory.arena_bytes,
        largest_set(small.graph, "bands"), least, least / quick,
        _weight_bytes(report) / _weight_bytes(room), report.memory.peak_layer,
    )  # fmt: skip


def _instructions(report: Report) -> int:
    return sum(layer.estimated_instructions for layer in report.layers)


def _weight_bytes(report: Report) -> int:
    return sum(layer.weight_bytes_read for layer in report.layers)


def executed(model: Model, work: Path) -> Row:
    """Compiled, and run in Unicorn where it fits the board."""
    row = planned(model, work)
    package = work / f"{model.name}.package"
    try:
        options = _options(model, work, model.board, "ram")
        options = replace(options, calibration=_samples(model, work))
        compile_model(options, package, _silent)
        return _ran(row, package)
    except DoesNotFitError:
        return replace(row, bits="does not fit")
    except McuformerError as error:
        return replace(row, bits=f"{type(error).__name__}: {error}"[:60])


def _ran(row: Row, folder: Path) -> Row:
    package = open_package(folder)
    with np.load(folder.with_name(f"{row.model.name}.npz")) as file:
        ints = codec_of(package).to_int((file["x"][:1],))
    with Executor(package, "unicorn", timeout_s=3600) as executor:
        inference = executor.run([device_bytes(ints)]).inferences[0]
    values = run_int(package.graph, ints)
    output = b"".join(np.ascontiguousarray(values[o][0]).tobytes() for o in package.graph.outputs)
    bits = "equal" if inference.output == output else "DIFFER"
    total = package.report["memory"]["sram_total_bytes"]
    return replace(row, bits=bits, measured=inference.instructions, total=total)


def _silent(stage: str, done: int = 0, total: int = 0) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
