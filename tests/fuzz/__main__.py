"""`make fuzz`: draws graphs, follows each through the chain, counts, shrinks what fails."""

from __future__ import annotations

import argparse
import sys

from fuzz.planted import find_all
from fuzz.run import GRAPHS, RAW, run
from fuzz.variants import run_families

FAMILY_EVERY = 20  # draws of graphs for one of a package of several programs


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="index of the first draw")
    parser.add_argument("--level", choices=("import", "plan", "host"), default="host")
    parser.add_argument("--planted", action="store_true", help="find ten planted faults instead")
    parser.add_argument("--raw", action="store_true", help="draw raw ONNX nodes of any opset")
    parser.add_argument("--families", action="store_true", help="draw widths and tasks alone")
    args = parser.parse_args()
    if args.planted:
        return find_all(args.seed, args.count)
    if args.level == "import" and not args.raw:
        parser.error("--level import is for --raw")
    if args.raw:
        return run(args.seed, args.first, args.count, args.level, RAW)
    if args.families:
        return run_families(args.seed, args.first, args.count, args.level)
    wrong = run(args.seed, args.first, args.count, args.level, GRAPHS)
    few = range(-(-args.first // FAMILY_EVERY), -(-(args.first + args.count) // FAMILY_EVERY))
    return run_families(args.seed, few.start, len(few), args.level) or wrong


if __name__ == "__main__":
    sys.exit(main())
