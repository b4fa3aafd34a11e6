"""What `--activations auto` and `16` reach beside 8 bits and onnxruntime's a16w8: docs/quantisation.md.

    python tests/bench/activations_table.py --work FOLDER

FOLDER holds the exports of coverage.py. A seeded sample of them, with coverage.py's own calibration
samples and the 32 others that are measured. Exits 1 where `auto` stays below 20 dB that `16` reaches, or
`16` is more than 3 dB below a16w8 and below 35 dB.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import coverage_sqnr as sqnr
import numpy as np
from coverage_follow import planned
from coverage_list import models
from numpy.typing import NDArray

MODES = ("8", "auto", "16")
ENOUGH, NEAR, FINE = 20.0, 3.0, 35.0  # dB
SEED = 14


@dataclass(frozen=True)
class Found:
    """dB of a model by mode; `wide`: values of 16 bits of all; None: onnxruntime fails with it."""

    name: str
    db: dict[str, float]
    wide: tuple[int, int]
    a16w8: float | None

    @property
    def short(self) -> str:
        """What it misses."""
        if self.db["auto"] < ENOUGH <= self.db["16"]:
            return "auto"
        beside = -np.inf if self.a16w8 is None else self.a16w8
        return "16" if self.db["16"] < min(beside - NEAR, FINE) else ""

    def line(self) -> str:
        numbers = [*(self.db[mode] for mode in MODES), self.a16w8]
        eight, auto, sixteen, other = ("-" if n is None else f"{n:.1f}" for n in numbers)
        wide = f"{self.wide[0]} of {self.wide[1]}"
        return f"| {self.name} | {eight} | {auto} | {wide} | {sixteen} | {other} | {self.short} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="--work of coverage.py")
    parser.add_argument("--exporter", default="torchscript")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], metavar="MODEL")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # what onnxruntime's quantiser says of every weight
    folder = args.work / args.exporter
    there = [m for m in models() if (folder / f"{m.name}.onnx").exists()]
    picked = np.random.default_rng(SEED).permutation(len(models()))
    order = {m.name: i for i, m in zip(picked, models(), strict=True)}
    drawn = sorted(there, key=lambda m: order[m.name])[: args.count]
    chosen = [m for m in there if m.name in args.only] if args.only else drawn
    print("| model | 8 | auto | values of 16 bits | 16 | a16w8 | short |\n" + "|---" * 7 + "|")
    rows = []
    for model in chosen:
        rows.append(measured(folder / f"{model.name}.onnx", model.name, model.input))
        print(rows[-1].line(), flush=True)
    return any(row.short for row in rows)


def measured(file: Path, name: str, shape: tuple[int, ...]) -> Found:
    calibration, others = sqnr.samples(shape)
    exact = sqnr.of_file(file, others)
    db, wide = {}, (0, 0)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        np.savez(work / "calibration.npz", x=calibration)
        for mode in MODES:
            graph = planned(file, work, mode).graph
            db[mode] = sqnr.centred_db(exact, sqnr.ours(graph, others))
            if mode == "auto":
                types = [graph.type(op.outputs[0]).dtype for op in graph.ops]
                wide = (types.count("int16"), len(types))
        return Found(name, db, wide, _a16w8(file, work, calibration, others, exact))


def _a16w8(
    file: Path, work: Path, calibration: NDArray, others: NDArray, exact: sqnr.Outputs
) -> float | None:
    try:
        qdq = sqnr.quantised(file, calibration, work / "qdq.onnx", wide=True)
        return sqnr.centred_db(exact, sqnr.of_file(qdq, others))
    except Exception:  # noqa: BLE001, onnxruntime fails with anything
        return None


if __name__ == "__main__":
    sys.exit(main())
