"""Places the buffers of one region part by part.

What lives through most of a network (its residual stream) keeps apart from nearly everything. Once
that lies at the bottom, the buffers of one block have no conflict with those of another: every such
part is tried under all orders, and searched where it misses the lower bound, by itself. A dozen
buffers are soon tried; all of them together are not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from mcuformer.memory.conflicts import Item
from mcuformer.memory.model import UNLIMITED
from mcuformer.memory.orders import move, orders

MOVES = 30  # of the search from one order, before it begins anew from the next best
MOVES_OF_ALL = 300  # the same for all items as one part
NEAR = 1.001  # times the bound: the last bytes are not worth more than a quarter of the search
Attempt = tuple[
    int, int, list[int], list[int]
]  # top, hinted bytes not in fast memory, order, offsets


@dataclass(slots=True, eq=False)
class Shelf:
    """Offsets so far (None: not placed), and what placing needs of every item."""

    found: Sequence[Item]
    fast_bytes: int
    offset: list[int | None] = field(init=False)
    size: list[int] = field(init=False)
    align: list[int] = field(init=False)
    rivals: list[list[tuple[int, int, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.offset = [None] * len(self.found)
        self.size = [item.buffer.size_bytes for item in self.found]
        self.align = [item.buffer.align for item in self.found]
        self.rivals = [
            [(j, lo, hi) for j, gaps in item.against.items() for lo, hi in gaps]
            for item in self.found
        ]

    def place(
        self, order: Sequence[int], most: int = UNLIMITED, known: Sequence[int] = ()
    ) -> Attempt:
        """Every item of `order` at the lowest offset that is free of those placed before, the first
        ones at `known` offsets; given up, with nothing but its top, where that is above `most`."""
        offset, size, align, rivals, top = self.offset, self.size, self.align, self.rivals, 0
        start = len(known)
        for i, there in zip(order, known, strict=False):
            offset[i] = there
            top = max(top, there + size[i])
        for i in order[start:]:
            offset[i] = None
        for i in order[start:]:
            taken = [(at + lo, at + hi) for j, lo, hi in rivals[i] if (at := offset[j]) is not None]
            taken.sort()
            low = 0
            for lo, hi in taken:
                if low <= lo:
                    break
                if low < hi:
                    low = -(-hi // align[i]) * align[i]
            offset[i] = low
            if low + size[i] > top:
                top = low + size[i]
                if top > most:
                    return top, 0, [], []
        return top, 0, [*order], [offset[i] or 0 for i in order]

    def attempt(self, order: Sequence[int]) -> Attempt:
        """The same, with the bytes that lie outside fast memory."""
        made = self.place(order)
        return made[0], self._slow(order) if self.fast_bytes else 0, *made[2:]

    def _slow(self, order: Sequence[int]) -> int:
        ends = [
            ((self.offset[i] or 0) + self.size[i], self.size[i])
            for i in order
            if self.found[i].buffer.hint == "fast"
        ]
        return sum(max(0, min(size, end - self.fast_bytes)) for end, size in ends)

    def restore(self, made: Attempt) -> None:
        for i, at in zip(made[2], made[3], strict=True):
            self.offset[i] = at

    def settled(self, parts: Sequence[Attempt]) -> list[int]:
        """Offsets of all items with these parts where they were tried."""
        for made in parts:
            self.restore(made)
        return [at or 0 for at in self.offset]

    def used(self, offsets: Sequence[int]) -> int:
        return max((at + n for at, n in zip(offsets, self.size, strict=True)), default=0)


def place_parts(
    found: Sequence[Item], levels: Sequence[int], bound: int, fast_bytes: int, rounds: int
) -> list[int]:
    """Offsets of all items; what does not meet `bound` bytes is searched for up to `rounds` moves:
    part by part, then all items as one part.

    The bytes used do not depend on `fast_bytes`, which only breaks ties.
    """
    shelf, through = Shelf(found, fast_bytes), _through(found)
    ways = [shelf.place(through)]
    if len(through) == 1:  # at the top of the bound: the same space, but filled from the other end
        (i,) = through
        at = max(0, (bound - shelf.size[i]) // shelf.align[i] * shelf.align[i])
        ways.append((at + shelf.size[i], 0, [i], [at]))
    part = _parts(found, through)
    best: list[int] = []
    for laid in ways:
        shelf.restore(laid)
        tries = _tries(shelf, part, levels, bound)
        made = shelf.settled([_search(shelf, several, bound, rounds, MOVES) for several in tries])
        best = min(best or made, made, key=shelf.used)
        if shelf.used(best) <= NEAR * bound:
            return best
    (alone,) = _tries(shelf, [0] * len(found), levels, bound)
    whole = shelf.settled([_search(shelf, alone, bound, rounds, MOVES_OF_ALL)])
    return min(best, whole, key=shelf.used)


def _tries(
    shelf: Shelf, part: Sequence[int], levels: Sequence[int], bound: int
) -> list[list[Attempt]]:
    """Of every part, what the orders make of it, up to the first one that leaves nothing to wish."""
    tries: dict[int, list[Attempt]] = {p: [] for p in part if p >= 0}
    shelf.offset = [at if p < 0 else None for p, at in zip(part, shelf.offset, strict=True)]
    unsettled = set(tries)
    known: dict[tuple[int, ...], Attempt] = {}  # few items have few orders
    for order in orders(shelf.found, levels):
        mine: dict[int, list[int]] = {p: [] for p in unsettled}
        for i in order:
            if part[i] in unsettled:
                mine[part[i]].append(i)
        for p, few in mine.items():
            key = tuple(few)
            made = known[key] = known.get(key) or shelf.attempt(few)
            tries[p].append(made)
            if made[0] <= bound and not made[1]:
                unsettled.remove(p)
        if not unsettled:
            break
    return [*tries.values()]


def _through(found: Sequence[Item]) -> list[int]:
    """Items that keep apart from more than a third of all, those with most to keep apart from first."""
    busy = [i for i, item in enumerate(found) if 3 * len(item.against) > len(found)]
    return sorted(busy, key=lambda i: -len(found[i].against))


def _parts(found: Sequence[Item], through: Sequence[int]) -> list[int]:
    """Of every item the least of those it is connected with by conflicts; -1 for `through`."""
    part: list[int | None] = [None] * len(found)
    for i in through:
        part[i] = -1
    for first in range(len(found)):
        stack = [first] if part[first] is None else []
        for i in stack:
            if part[i] is None:
                part[i] = first
                stack += [j for j in found[i].against if part[j] is None]
    return [-1 if p is None else p for p in part]


def _search(shelf: Shelf, tries: list[Attempt], bound: int, rounds: int, moves: int) -> Attempt:
    """The best attempt; where all miss the bound, better ones by moves in the order."""
    best = min(tries, key=lambda t: (max(t[0], bound), t[1]))
    if best[0] <= bound or len(best[2]) < 2:
        return best
    chance, starts = random.Random(0), sorted(tries, key=lambda t: t[0])
    best = starts[0]
    for turn in range(-(-rounds // moves)):
        if best[0] <= (bound if 4 * moves * turn < rounds else NEAR * bound):
            break
        found = _climb(shelf, starts[turn % len(starts)], bound, chance, min(moves, rounds))
        best = min(best, found, key=lambda t: t[0])
    return best


def _climb(shelf: Shelf, now: Attempt, bound: int, chance: random.Random, moves: int) -> Attempt:
    """A move is kept unless it makes things worse."""
    part = set(now[2])
    tried: dict[tuple[int, ...], Attempt] = {}
    for turn in range(moves):
        top, _, order, offsets = now
        if top <= bound:
            break
        highest = [i for i, at in zip(order, offsets, strict=True) if at + shelf.size[i] == top]
        item = chance.choice(highest)
        beside = [j for j in shelf.found[item].against if j in part]
        place = chance.randrange(len(order))
        if turn % 4 == 0:  # anything, anywhere
            item = chance.choice(order)
        elif turn % 4 == 1 and beside:  # a buffer at the top, before one that it keeps apart from
            place = order.index(chance.choice(beside))
        elif turn % 4 == 3 and beside:  # one that a buffer at the top keeps apart from, anywhere
            item = chance.choice(beside)
        trial = order[:]
        move(trial, item, place)
        key = tuple(trial)
        if key not in tried:
            tried[key] = shelf.place(trial, top, offsets[: min(place, order.index(item))])
        now = tried[key] if tried[key][0] <= top else now
    return now
