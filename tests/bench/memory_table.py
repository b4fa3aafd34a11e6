"""SRAM and instructions of whole models, measured (docs/memory.md).

    python tests/bench/memory_table.py MODELS_DIR [A B C ...] [--only ram]

MODELS_DIR holds the exports A.ts.op17.onnx ... (raw exporter output, any weights). Every row is
compiled for the board, run in Unicorn on one image, and its output compared bit for bit with the
integer interpreter's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.codegen.package import write_package
from mcuformer.compile.static_bytes import static_estimate
from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import Arena
from mcuformer.operators.interpreter import run_int
from mcuformer.plan.fit import Schedule, curve, place
from mcuformer.price.book import CostBook
from mcuformer.quant import InputFormat, calibrate, lower
from mcuformer.targets import unicorn_runner
from mcuformer.targets.board import Board
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf, usage
from mcuformer.targets.firmware import build_firmware

FILES = {
    "A": "A.ts.op17.onnx", "B": "B.ts.op17.onnx", "C": "C.dynamo.op18.onnx",
    "D": "D.ts.op17.onnx", "E": "E.ts.op17.onnx", "F": "F.ts.op17.onnx",
}  # fmt: skip
# Ceilings in bytes by (model, input mode): balanced, ram.
CEILINGS = {
    ("A", "bands"): (143_360, 90_112), ("B", "bands"): (34_816, 17_408),
    ("C", "bands"): (38_912, 22_528), ("D", "bands"): (237_568, 165_888),
    ("E", "bands"): (176_128, 112_640), ("F", "bands"): (122_880, 88_064),
    ("A", "resident"): (196_608, 165_888),
}  # fmt: skip
GOALS = ("speed", "balanced", "ram")
SAMPLES = 4


@dataclass(frozen=True)
class Measured:
    sram_total_bytes: int
    high_water_bytes: int
    stack_bytes: int
    arena_bytes: int
    bound_bytes: int
    instructions: int
    estimated: int
    equal: bool


def smooth_images(shape: tuple[int, ...], count: int, seed: int = 0) -> NDArray[np.float32]:
    """Low-frequency noise of about -2.5 to 2.5: [count, C, H, W]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-2.5, 2.5, (count, shape[1], 8, 8))
    rows = np.linspace(0, 7, shape[2])
    low, part = np.floor(rows).astype(int).clip(0, 6), rows - np.floor(rows).clip(0, 6)
    lines = coarse[:, :, low] * (1 - part)[:, None] + coarse[:, :, low + 1] * part[:, None]
    image = lines[..., low] * (1 - part) + lines[..., low + 1] * part
    return image.astype(np.float32)


def quantised(path: Path) -> Graph:
    graph = load_model(path)
    samples = smooth_images(tuple(graph.meta["input_shapes"][0]), SAMPLES)
    pixels = InputFormat((0.5,) * 3, (0.25,) * 3)
    return lower(graph, calibrate(graph, samples, "minmax"), "8", pixels)


def board_for(name: str) -> Board:
    """The stock board; D's weights need 32 MB of QSPI."""
    board = load_board("stm32f746g-disco")
    if name != "D":
        return board
    wide = [replace(r, size_bytes=32 << 20) if r.kind == "qspi" else r for r in board.memory]
    return replace(board, memory=tuple(wide))


def measure(made: Schedule, board: Board, folder: Path) -> Measured:
    package = folder / "package"
    package.mkdir()
    write_package(package, made.program, made.plan, board, "qspi")
    elf = build_firmware(package, board, build=folder)
    t = made.graph.type(made.graph.inputs[0])
    x = np.random.default_rng(1).integers(0, 256, t.shape).astype(t.dtype)
    expected = run_int(made.graph, x)[made.graph.outputs[0]].tobytes()
    result = unicorn_runner.run(elf, board, [x.tobytes()])
    inference = result.inferences[0]
    static = usage(read_elf(elf), board).static_bytes
    image = t.size_bytes if made.program.input_mode == "flash" else 0
    assert image == 0
    return Measured(
        made.plan.arena_bytes + static + board.stack_bytes,
        result.sram_high_water_bytes or 0,
        result.stack_high_water_bytes or 0,
        made.plan.arena_bytes,
        made.plan.lower_bound_bytes,
        inference.instructions or 0,
        made.point.instructions,
        inference.output == expected,
    )


def rows(
    folder: Path, names: list[str], goals: tuple[str, ...]
) -> Iterator[tuple[str, str, str, Measured]]:
    for name in names:
        graph = quantised(folder / FILES[name])
        board = board_for(name)
        beside = board.stack_bytes + static_estimate(graph)
        region = Arena("sram", 0x20000000, board.arenas[0].size_bytes - beside)
        for mode in [m for n, m in CEILINGS if n == name]:
            trade = curve(graph, mode, CostBook())
            for goal in goals:
                made = place(trade, [region], goal)
                with tempfile.TemporaryDirectory() as work:
                    yield name, mode, goal, measure(made, board, Path(work))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", type=Path)
    parser.add_argument("names", nargs="*", default=list(FILES))
    parser.add_argument("--only", choices=GOALS)
    args = parser.parse_args()
    goals = (args.only,) if args.only else GOALS
    print(
        "model mode      goal      SRAM total  ceiling  high water   arena  /bound  stack used  "
        "instructions  /estimate  /speed  equal"
    )
    fastest: dict[tuple[str, str], int] = {}
    failures = 0
    start = time.time()
    for name, mode, goal, m in rows(args.models, args.names, goals):
        fastest.setdefault((name, mode), m.instructions)
        balanced, ram = CEILINGS[name, mode]
        ceiling = {"balanced": balanced, "ram": ram}.get(goal)
        good = m.equal and (ceiling is None or m.sram_total_bytes <= ceiling)
        good = good and m.high_water_bytes <= m.sram_total_bytes
        failures += not good
        print(
            f"{name:5} {mode:9} {goal:9} {m.sram_total_bytes:10,} {ceiling or '':>8} {m.high_water_bytes:11,}"
            f" {m.arena_bytes:8,} {m.arena_bytes / m.bound_bytes:6.3f} {m.stack_bytes:11,}"
            f" {m.instructions:13,} {m.instructions / m.estimated:9.3f}"
            f" {m.instructions / fastest[name, mode]:7.3f}  {'yes' if m.equal else 'NO'}"
            f"{'' if good else '  FAILS'}",
            flush=True,
        )
    print(f"{failures} rows fail; {time.time() - start:.0f} s", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
