"""`make fuzz`: draws graphs, follows each through the chain, counts, shrinks what fails."""

from __future__ import annotations

import argparse
import sys

from fuzz.planted import find_all
from fuzz.run import GRAPHS, RAW, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="index of the first draw")
    parser.add_argument("--level", choices=("import", "plan", "host"), default="host")
    parser.add_argument("--planted", action="store_true", help="find ten planted faults instead")
    parser.add_argument("--raw", action="store_true", help="draw raw ONNX nodes of any opset")
    args = parser.parse_args()
    if args.planted:
        return find_all(args.seed, args.count)
    if args.level == "import" and not args.raw:
        parser.error("--level import is for --raw")
    return run(args.seed, args.first, args.count, args.level, RAW if args.raw else GRAPHS)


if __name__ == "__main__":
    sys.exit(main())
