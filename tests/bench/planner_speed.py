"""Candidates a second of the search's planner: distinct random networks, cold caches, one process.

    python tests/bench/planner_speed.py [--count 1000] [preset ...]

CPU time of this process alone (the machine may be shared); illegal candidates count too.
"""

import argparse
import time
from random import Random

from mcuformer.search.figures import Limits, NetworkCost, Planner
from mcuformer.search.space import Space, load_space
from mcuformer.targets.board_file import load_board

LIMITS = Limits(ram=320 << 10, flash=16 << 20)


def distinct(space: Space, count: int) -> list:
    random, found = Random("planner speed"), {}
    while len(found) < count:
        found[space.canonical(space.draw(random))] = None
    return [space.decode(genes) for genes in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["imagenet"])
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    for preset in args.presets:
        archs = distinct(load_space(preset), args.count)
        planner = Planner(load_board("stm32f746"), LIMITS)
        legal, times = 0, [time.process_time()]
        for arch in archs:
            legal += isinstance(planner.cost(arch), NetworkCost)
            times.append(time.process_time())
        whole = times[-1] - times[0]
        tenth = max(1, len(archs) // 10)
        print(
            f"{preset}: {len(archs) / whole:.1f} candidates/s of CPU time ({len(archs)} distinct, "
            f"cold; last tenth {tenth / (times[-1] - times[-1 - tenth]):.1f}/s), "
            f"{legal / len(archs):.0%} legal"
        )


if __name__ == "__main__":
    main()
