"""What widths (Scala) and tasks (ARC) cost a package: the figures of docs/one-model-many-places.md.

    PYTHONPATH=tests python tests/bench/variants_table.py widths 96 DIR     E = 96, 3 heads, 8 blocks, 64 tokens
    PYTHONPATH=tests python tests/bench/variants_table.py tasks 96 DIR      the same, adapters of rank 8, 3 tasks

Flash, SRAM and instructions depend on shapes alone: the networks' numbers are random. Nothing is emulated but the
switches. The widest network of E = 192 lies in QSPI.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from util_called import switch
from util_tasks import stir, write_tasks

from mcuformer.cli.model_options import tasks_of
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.stages import compile_model
from mcuformer.search.arch import Arch
from mcuformer.search.data import Data, Images
from mcuformer.search.finish import export
from mcuformer.search.net import Network, initialise
from mcuformer.search.slimmable import Widths, at_width
from mcuformer.targets.board_file import load_board

RATIOS = (0.25, 0.5, 0.75, 1.0)
BOARD = "stm32f746g-disco"
HEADS, DEPTH, SIDE, RANK = 3, 8, 32, 8
TASKS = ("t0", "t1", "t2")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("widths", "tasks"))
    parser.add_argument("dim", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--board", default=BOARD)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    {"widths": widths, "tasks": tasks}[args.what](args.folder, args.dim, args.depth, args.board)


def widths(folder: Path, dim: int, depth: int, board: str) -> None:
    """Flash of the full width alone and of four, and what a switch takes."""
    files = _width_files(folder, dim, depth)
    names = {
        "board": board,
        "calibration": folder / "calibration.npz",
        "check": False,
        "name": "eye",
    }
    alone = _compiled(CompileOptions(model=files[-1], **names), folder / "alone")
    points = tuple(Point(f"{r:g}", f) for r, f in zip(RATIOS, files, strict=True))
    report = _compiled(CompileOptions(model=files[-1], points=points, **names), folder / "widths")
    print(f"E = {dim}, {HEADS} heads, {depth} blocks, {(SIDE // 4) ** 2} tokens, {board}")
    print(f"{'width':>6} {'SRAM':>9} {'arena':>9} {'instructions':>13} {'ms':>7}")
    for row in report["variants"]:
        print(
            f"{row['label']:>6} {row['sram_total_bytes']:9,} {row['arena_bytes']:9,} "
            f"{row['instructions']:13,} {1000 * (row['seconds'] or 0):7.1f}"
        )
    _flash("full width alone", alone)
    _flash("all widths", report)
    print(f"ratio {report['flash']['total_bytes'] / alone['flash']['total_bytes']:.4f}")
    _switch(folder / "widths", len(RATIOS))


def tasks(folder: Path, dim: int, depth: int, board: str) -> None:
    """A network alone, with two and three tasks, and three of them in the internal flash alone."""
    if not (folder / TASKS[0]).exists():
        write_tasks(folder, dim, depth, RANK, 0, SIDE, HEADS, 4, (10,) * len(TASKS))
    names = {"board": board, "check": False, "name": "eye"}
    plain = folder / "t0/folded.onnx"
    calibration = folder / "t0/calibration.npz"
    alone = _compiled(
        CompileOptions(model=plain, calibration=calibration, **names), folder / "alone"
    )
    _flash("network alone", alone)
    found = [alone]
    for count in (2, 3):
        points = tasks_of(folder, (), ",".join(TASKS[:count]), "runtime", 2)
        asked = CompileOptions(
            model=points[-1].model, points=points, adapter_mode="runtime", **names
        )
        found.append(_compiled(asked, folder / f"of{count}"))
        _flash(f"{count} tasks", found[-1])
    row, before = found[-1]["variants"][0], alone["estimate"]["instructions"]
    whole = alone["flash"]["total_bytes"]
    further = found[-1]["flash"]["total_bytes"] - found[-2]["flash"]["total_bytes"]
    head = 13 * -(-10 // 4) * 4 + dim * 12
    print(f"a further task: {further:,} B of flash, {100 * further / whole:.2f} % of the network's")
    print(f"  of which its head, weights and numbers, is about {head:,} B")
    print(
        f"instructions {before:,} -> {row['instructions']:,}: + {100 * row['instructions'] / before - 100:.2f} %"
    )
    print(f"arena {alone['memory']['arena_bytes']:,} -> {row['arena_bytes']:,}")
    points = tasks_of(folder, (), ",".join(TASKS), "runtime", 2)
    asked = CompileOptions(
        model=points[-1].model, points=points, adapter_mode="runtime", weights="internal",
        weight_bits="auto", **names,
    )  # fmt: skip
    inside = _compiled(asked, folder / "inside")
    room = load_board(board).flash.size_bytes
    _flash(f"{len(TASKS)}, 4 bits", inside)
    fours = [layer["weight_bits"] for layer in inside["layers"]].count(4)
    print(
        f"  {fours} layers have 4 bits; {room:,} B of internal flash leave {room - inside['flash']['total_bytes']:,}"
    )
    _switch(folder / "of3", len(TASKS))


def _compiled(options: CompileOptions, output: Path) -> dict[str, Any]:
    if not (output / "report.json").exists():
        compile_model(options, output, lambda *_: None)
    return dict(json.loads((output / "report.json").read_text()))


def _flash(title: str, report: dict[str, Any]) -> None:
    flash = report["flash"]
    total, weights = flash["total_bytes"], flash["weights_bytes"]
    print(
        f"{title:18} flash {total:10,} B, weights {weights:10,}, code and structs {total - weights:8,}"
    )


def _switch(package: Path, count: int) -> None:
    *good, (refused, _) = switch(package, count)
    assert all(status == 0 for status, _ in good) and refused != 0
    print(f"a switch: {max(n for _, n in good)} instructions; number {count}: error {refused}")


def _width_files(folder: Path, dim: int, depth: int) -> list[Path]:
    arch = Arch(
        image=(SIDE, SIDE, 3), classes=10, stem="patch", patch=4, pool="mean", relative=False, dim=dim,
        heads=HEADS, head_dim=dim // HEADS, hidden=(4 * dim,) * depth,
    )  # fmt: skip
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    network = Network(arch).eval()
    initialise(network, generator)
    stir(network, generator)
    x = rng.integers(0, 256, (32, 3, SIDE, SIDE), dtype=np.uint8)
    images = Images(x, np.arange(32) % 10)
    data = Data("random", images, images, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3, False)
    np.savez(folder / "calibration.npz", x=x)
    files = [folder / f"width-{r:g}.onnx" for r in RATIOS]
    for ratio, file in zip(RATIOS, files, strict=True):
        if not file.exists():
            export(at_width(network, Widths(RATIOS), ratio), data, file)
    return files


if __name__ == "__main__":
    main()
