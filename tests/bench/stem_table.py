"""SRAM and instructions of models with convolution stems, measured; whole images beside strips of lines.

    python tests/bench/stem_table.py [i ii iii]

Weights are random. Every row that fits an STM32F746 runs in Unicorn on one image (input mode bands),
and its output is compared bit for bit with the integer interpreter's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory_table import GOALS, measure
from util_stems import Layer, Stem, in_strips, lowered

from mcuformer.compile.static_bytes import static_estimate
from mcuformer.memory.model import Arena
from mcuformer.plan.fit import Schedule, curve, place
from mcuformer.price.book import CostBook
from mcuformer.targets.board_file import load_board


def _halving(*widths: int) -> tuple[Layer, ...]:
    return tuple(Layer(n, 3, 2, 1) for n in widths)


CASES = {
    "i": ("32x32, 32-64/2-128/2, 3 blocks",
          Stem((32, 32), (Layer(32, 3, 1, 1), *_halving(64, 128)), blocks=3, heads=4, ratio=4)),
    "ii": ("240x240, 24/2-48/2-96/2, 1 block",
           Stem((240, 240), _halving(24, 48, 96), blocks=1, heads=3, ratio=4)),
    "iii": ("240x240, 24/2-48/2-96/2-192/2, 2 blocks",
            Stem((240, 240), _halving(24, 48, 96, 192), blocks=2, heads=4, ratio=4)),
}  # fmt: skip
BOARD = load_board("stm32f746")
WHOLE = 1 << 30


def schedules(stem: Stem) -> Iterator[tuple[str, Schedule]]:
    """The smallest schedule, but with whole images in the stem; then every setting's own."""
    stem = replace(stem, layers=(*stem.layers[:-1], replace(stem.layers[-1], relu=False)))
    graph = lowered(stem)
    beside = BOARD.stack_bytes + static_estimate(graph)
    region = Arena("sram", 0x20000000, BOARD.arenas[0].size_bytes - beside)
    yield "(whole)", in_strips(graph, "bands", WHOLE, 4096, [region])
    trade = curve(graph, "bands", CostBook())
    for goal in GOALS:
        yield goal, place(trade, [region], goal)


def main() -> int:
    good = True
    for name in sys.argv[1:] or list(CASES):
        title, stem = CASES[name]
        print(
            f"{title}\n  goal        strip lines   arena  SRAM total  instructions  /estimate  equal"
        )
        for goal, made in schedules(stem):
            lines = made.program.layers[len(stem.layers) - 1].schedule.removesuffix(" lines")
            text = f"  {goal:10} {'all' if goal == '(whole)' else lines:>11} {made.plan.arena_bytes:8,}"
            if not made.plan.fits:
                print(f"{text}  does not fit")
                continue
            with tempfile.TemporaryDirectory() as work:
                m = measure(made, BOARD, Path(work))
            good &= m.equal and m.high_water_bytes <= m.sram_total_bytes
            ratio = m.instructions / m.estimated if goal != "(whole)" else 0
            print(
                f"{text} {m.sram_total_bytes:11,} {m.instructions:13,} {ratio or float('nan'):10.3f}"
                f"  {'yes' if m.equal else 'NO'}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
