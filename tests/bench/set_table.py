"""The arena beside the largest set of tensors that must live together, for any models.

    python tests/bench/set_table.py FILE.onnx ...

Planned with `--optimize ram --input-mode bands`, nothing is run. A row has the arena in bytes and how often two
sets go into it: *graph*, of all tensors of the integer graph, operator by operator in the best order
(graph_set.py; `>`: a lower bound), and *whole*, of the values alone that have to be whole however strips and tiles
are chosen (family_bound.py). Where the arena is above 1.1 whole sets and 4,096 B: what is alive at the peak.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from family_bound import largest_set, peak_bytes
from family_list import BOARDS
from family_run import silent, within
from graph_set import largest_of_graph

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.errors import McuformerError

SHOWN = 6  # buffers at the peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    args = parser.parse_args()
    above = [0, 0]
    count = 0
    print(f"{'':36} {'arena':>8} {'graph':>10} {'ratio':>5} {'whole':>9} {'ratio':>5}")
    for path in args.files:
        try:
            text, fails = row(path)
        except McuformerError as error:
            print(f"{path.stem:36} {str(error)[:80]}")
            continue
        print(text, flush=True)
        above, count = [n + failed for n, failed in zip(above, fails, strict=True)], count + 1
    print(
        f"of {count} models {above[0]} are above what the graph's set allows, {above[1]} the whole one's"
    )
    return 0


def row(path: Path) -> tuple[str, tuple[bool, bool]]:
    board = str(BOARDS / "f746_room.toml")
    options = CompileOptions(
        model=path, board=board, optimize="ram", input_mode="bands", weights="qspi"
    )
    made = plan_model(options, silent, needs_data=False)
    arena, graph = made.plan.arena_bytes, largest_of_graph(made.graph, "bands")
    tensors, whole = max(1, graph.size_bytes), max(1, largest_set(made.graph, "bands"))
    fails = arena > within(tensors), arena > within(whole)
    text = (
        f"{path.stem:36} {arena:8,} {' ' if graph.exact else '>'}{tensors:9,} {arena / tensors:5.2f} "
        f"{whole:9,} {arena / whole:5.2f}"
    )
    if any(fails):
        at = peak_bytes(made.program, made.plan)[:SHOWN]
        marks = " GRAPH" if fails[0] else ""
        text += f"{marks}  " + ", ".join(f"{name} {size:,}" for name, size in at)
    return text, fails


if __name__ == "__main__":
    sys.exit(main())
