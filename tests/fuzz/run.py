"""Draw after draw: followed, counted, and shrunk where one fails."""

from __future__ import annotations

import time
from functools import partial

from fuzz.choices import Choices
from fuzz.counts import Counts
from fuzz.draws import Drawn, draw
from fuzz.follow import SLOW_S, Level, Outcome, follow
from fuzz.machine import Machine
from fuzz.script import script
from fuzz.shrink import shrunk

UNICORN_EVERY = 10


def level_of(level: Level, index: int) -> Level:
    """Of a draw: every tenth one runs in Unicorn, too."""
    return "all" if level == "host" and index % UNICORN_EVERY == 0 else level


def one(seed: int, index: int, level: Level, machine: Machine) -> tuple[Drawn, Outcome]:
    """Draw `index` of `seed`, which is always the same, and how it ended."""
    drawn = draw(Choices.fresh(seed, index))
    return drawn, follow(drawn, level_of(level, index), machine)


def explained(
    seed: int, index: int, drawn: Drawn, outcome: Outcome, level: Level, machine: Machine
) -> str:
    """The failure, and the shrunk draw as a script."""
    level = level_of(level, index)
    small, last = shrunk(drawn, outcome, partial(follow, level=level, machine=machine))
    title = f"Draw {index} of seed {seed}: {last.stage}: {last.message.splitlines()[0]}"
    return f"{outcome.trace}\n--- script ---\n{script(small, title, level)}--- end ---"


def run(seed: int, first: int, count: int, level: Level) -> int:
    counts, machine, began = Counts(), Machine(), time.monotonic()
    for index in range(first, first + count):
        drawn, outcome = one(seed, index, level, machine)
        counts.add(drawn, outcome)
        if outcome.result != "ok":
            print(f"{index} {outcome.result} at {outcome.stage}: {outcome.message}", flush=True)
        if outcome.result == "failed":
            print(explained(seed, index, drawn, outcome, level, machine), flush=True)
        if outcome.seconds > SLOW_S:
            print(f"{index} slow: {outcome.seconds:.0f} s", flush=True)
    print("\n".join(counts.lines()))
    print(f"{(time.monotonic() - began) / max(1, counts.draws):.2f} s per draw")
    complaints = list(counts.complaints())
    print("\n".join(complaints) or "nothing wrong")
    return bool(complaints)
