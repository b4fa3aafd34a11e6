"""The arena beside the largest set of tensors that must live together, for any models.

    python tests/bench/set_table.py FILE.onnx ...

Planned with `--optimize ram --input-mode bands`, nothing is run. A row has arena and set in bytes, how often
the set goes into the arena, and of a model whose arena is above 1.1 sets and 4,096 B what is alive at the
peak: rings of lines, tiles and scratch beside the whole values.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from family_bound import largest_set, peak_bytes
from family_list import BOARDS
from family_run import LIMITS, SLACK, silent

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.errors import McuformerError

SHOWN = 6  # buffers at the peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    args = parser.parse_args()
    above = count = 0
    for path in args.files:
        try:
            text, fails = row(path)
        except McuformerError as error:
            print(f"{path.stem:36} {str(error)[:80]}")
            continue
        print(text, flush=True)
        above, count = above + fails, count + 1
    print(f"{above} of {count} above")
    return 0


def row(path: Path) -> tuple[str, bool]:
    board = str(BOARDS / "f746_room.toml")
    options = CompileOptions(
        model=path, board=board, optimize="ram", input_mode="bands", weights="qspi"
    )
    made = plan_model(options, silent, needs_data=False)
    arena, most = made.plan.arena_bytes, max(1, largest_set(made.graph, "bands"))
    fails = arena > LIMITS["set"] * most + SLACK
    text = f"{path.stem:36} {arena:8,} {most:8,} {arena / most:5.2f}"
    if fails:
        at = peak_bytes(made.program, made.plan)[:SHOWN]
        text += "  " + ", ".join(f"{name} {size:,}" for name, size in at)
    return text, fails


if __name__ == "__main__":
    sys.exit(main())
