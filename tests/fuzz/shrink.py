"""A failing draw made smaller while it fails the same way: blocks left out, numbers lowered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from fuzz.choices import Blocks, Choices
from fuzz.draws import Drawn
from fuzz.follow import Outcome

MOST_S = 120.0
Try = Callable[[Drawn], Outcome]
DrawOf = Callable[[Choices], Drawn]


def shrunk(found: Drawn, outcome: Outcome, follow: Try, draw: DrawOf) -> tuple[Drawn, Outcome]:
    """The smallest draw that was met within two minutes, and how it fails."""
    until, best = time.monotonic() + MOST_S, (found, outcome)
    better = True
    while better:
        better = False
        for blocks in _smaller(best[0].blocks):
            if time.monotonic() > until:
                return best
            other = _tried(blocks, follow, draw)
            if other is not None and other[1].way == outcome.way and _size(other) < _size(best):
                best, better = other, True
                break
    return best


def _tried(blocks: Blocks, follow: Try, draw: DrawOf) -> tuple[Drawn, Outcome] | None:
    try:
        drawn = draw(Choices(None, blocks))
    except Exception:  # noqa: BLE001, a draw that makes no sense any more
        return None
    outcome = follow(drawn)
    return (drawn, outcome) if outcome.result == "failed" else None


def _size(pair: tuple[Drawn, Outcome]) -> tuple[int, int, int]:
    """Nodes, then elements of inputs, then the numbers themselves."""
    drawn = pair[0]
    elements = sum(x[0].size for x in drawn.samples.values())
    return len(drawn.model.graph.node), elements, sum(map(sum, drawn.blocks))


def _smaller(blocks: Blocks) -> Iterator[Blocks]:
    """Without several blocks, without one, with one number at 0, halved, one less."""
    for count in (8, 4, 2, 1):
        for first in range(len(blocks) - 1, 1, -1):
            if first + count <= len(blocks):
                yield blocks[:first] + blocks[first + count :]
    for i, block in enumerate(blocks):
        for j, number in enumerate(block):
            for less in dict.fromkeys((0, number // 2, number - 1)):
                if 0 <= less < number:
                    yield (*blocks[:i], (*block[:j], less, *block[j + 1 :]), *blocks[i + 1 :])
