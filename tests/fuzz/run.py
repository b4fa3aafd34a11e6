"""Draw after draw: followed, counted, and shrunk where one fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fuzz.choices import Choices
from fuzz.counts import Counts, RawCounts
from fuzz.draws import Drawn, draw
from fuzz.follow import SLOW_S, Level, Outcome, follow
from fuzz.machine import Machine
from fuzz.raw import draw_raw
from fuzz.raw_follow import judged
from fuzz.script import script
from fuzz.shrink import shrunk

UNICORN_EVERY = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """Of draws: how they are made, judged and counted."""

    draw: Callable[[Choices], Drawn]
    judge: Callable[[Drawn, Level, Machine], Outcome]
    counts: type[Counts]


GRAPHS = Kind(draw, follow, Counts)
RAW = Kind(draw_raw, judged, RawCounts)


def level_of(level: Level, index: int) -> Level:
    """Of a draw: every tenth one runs in Unicorn, too."""
    return "all" if level == "host" and index % UNICORN_EVERY == 0 else level


def one(
    seed: int, index: int, level: Level, machine: Machine, kind: Kind = GRAPHS
) -> tuple[Drawn, Outcome]:
    """Draw `index` of `seed`, which is always the same, and how it ended."""
    drawn = kind.draw(Choices.fresh(seed, index))
    return drawn, kind.judge(drawn, level_of(level, index), machine)


def explained(
    seed: int, index: int, drawn: Drawn, outcome: Outcome, level: Level, machine: Machine,
    kind: Kind = GRAPHS,
) -> str:  # fmt: skip
    """The failure, and the shrunk draw as a script."""
    level = level_of(level, index)
    tried = partial(kind.judge, level=level, machine=machine)
    small, last = shrunk(drawn, outcome, tried, kind.draw)
    title = f"Draw {index} of seed {seed}: {last.stage}: {last.message.splitlines()[0]}"
    text = script(small, title, level, kind.judge)
    return f"{outcome.trace}\n--- script ---\n{text}--- end ---"


def run(seed: int, first: int, count: int, level: Level, kind: Kind = GRAPHS) -> int:
    counts, machine, began = kind.counts(), Machine(), time.monotonic()
    for index in range(first, first + count):
        drawn, outcome = one(seed, index, level, machine, kind)
        counts.add(drawn, outcome)
        if outcome.result in ("refused", "failed"):
            print(f"{index} {outcome.result} at {outcome.stage}: {outcome.message}", flush=True)
        if outcome.result == "failed":
            print(explained(seed, index, drawn, outcome, level, machine, kind), flush=True)
        if outcome.seconds > SLOW_S:
            print(f"{index} slow: {outcome.seconds:.0f} s", flush=True)
    print("\n".join(counts.lines()))
    print(f"{(time.monotonic() - began) / max(1, count):.2f} s per draw")
    complaints = list(counts.complaints())
    print("\n".join(complaints) or "nothing wrong")
    return bool(complaints)
