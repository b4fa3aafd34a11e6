"""A search over the orders in which the buffers of a part are placed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mcuformer.memory.model import UNLIMITED
from mcuformer.memory.packing import orders
from mcuformer.memory.shelf import Attempt, Shelf

PER_ITEM = 12  # per item, of the search of a part; twice as many with all that lives through
CLIMB = 40  # moves from one start, before it is the next one's turn
STARTS = 8
NEAR = 1.001  # times the bound is enough after PER_ITEM per item
FEW = 3  # moves per item, after which less than GRAIN bytes are not searched for
GRAIN = 8  # of nearly all buffers: what begins at its multiples seldom ends where the bound is
Order = tuple[int, ...]


def search(
    shelf: Shelf, levels: Sequence[int], bound: int, each: int, seeds: Sequence[Order] = ()
) -> Attempt:
    """The best of so many placements per item; `seeds` are orders to begin with.

    The largest buffers that never meet (the scratch of one call after another) stay together: all
    else lies below or above them. So few ways are left that random moves find good ones; a move is
    kept unless it makes things worse.
    """
    shelf.narrow()
    large, mine = _strangers(shelf), frozenset(shelf.items)
    state = _Search(shelf, frozenset(large), bound, min(shelf.table.rounds, each * len(mine)))
    every = [[i for i in order if i in mine] for order in orders(shelf.table.found, levels)]
    for first in (*seeds, *map(tuple, every)):
        state.reach(first)
    state.climb(1)  # most parts want little
    for order in _starts(every, large):
        if state.done:
            return state.best
        state.reach(order)
    state.climb(-(-2 * state.moves // CLIMB))
    return state.best


def _starts(every: Sequence[list[int]], large: list[int]) -> Iterator[Order]:
    """The orders with all large items together, after none of the others, after one ..."""
    for order in every:
        small = [i for i in order if i not in large]
        for k in range(len(small) + 1):
            yield (*small[:k], *large, *small[k:])


def _strangers(shelf: Shelf) -> list[int]:
    """Items of which no two keep apart, the largest first."""
    found: list[int] = []
    for i in sorted(shelf.items, key=lambda i: -shelf.table.size[i]):
        if not any(j in shelf.table.found[i].against for j in found):
            found.append(i)
    return found


@dataclass(slots=True, eq=False)
class _Search:
    """Orders that were tried, with what came out, and the best attempt."""

    shelf: Shelf
    large: frozenset[int]
    bound: int
    moves: int
    best: Attempt = field(default_factory=lambda: Attempt(UNLIMITED, 0, {}))
    tried: dict[Order, Attempt] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def done(self) -> bool:
        count, each = len(self.tried), len(self.shelf.items)
        enough: float = self.bound + (0 if count < FEW * each else GRAIN - 1)
        enough = enough if count < PER_ITEM * each else NEAR * self.bound
        return self.best.top <= enough or len(self.tried) >= self.moves

    def reach(self, order: Order, most: int = UNLIMITED, start: Attempt | None = None) -> int:
        """The top of an order, or some top above `most`."""
        made = self.tried.get(order)
        if made is None or (made.top <= most and not made.offsets):  # given up, but for less
            made = self.tried[order] = self.shelf.place(order, most, start)
            if made.offsets and made.top < self.best.top:
                self.best = made
        return made.top

    def climb(self, turns: int) -> None:
        """From each of the best orders in turn. What was tried before is not placed again, but it
        is counted, so that few items come to an end."""
        chance = self.chance
        whole = (order for order, made in self.tried.items() if made.offsets)
        starts = sorted(whole, key=lambda order: self.tried[order].top)[:STARTS]
        for turn in range(turns):
            now = starts[turn % len(starts)]
            for step in range(CLIMB):
                if self.done:
                    return
                now = self._step(now, chance, anywhere=step % 4 == 0)
            starts[turn % len(starts)] = now

    def _step(self, now: Order, chance: random.Random, anywhere: bool) -> Order:
        """After a move, if that is no worse."""
        trial = self._moved(now, chance, anywhere)
        top = self.tried[now].top
        same = next((k for k, (a, b) in enumerate(zip(now, trial, strict=True)) if a != b), 0)
        offsets = self.tried[now].offsets
        start = Attempt(0, 0, {i: offsets[i] for i in now[:same]})
        return trial if self.reach(trial, top, start) <= top else now

    def _moved(self, order: Order, chance: random.Random, anywhere: bool) -> Order:
        """One item elsewhere; or one that is not large below or above all that are."""
        small = [i for i in order if i not in self.large]
        item = chance.choice(order if anywhere or not small else small)
        rest = [i for i in order if i != item]
        places = range(len(rest) + 1)
        if not anywhere and small:
            held = [k for k, i in enumerate(rest) if i in self.large]
            places = chance.choice((range(held[0] + 1), range(held[-1] + 1, len(rest) + 1)))
        place = chance.choice(places)
        return (*rest[:place], item, *rest[place:])
