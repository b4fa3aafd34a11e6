"""Places the buffers of one arena part by part.

What lives through most of a network (its residual stream) keeps apart from nearly everything. Once
that lies at the bottom, the buffers of one block have no conflict with those of another: every such
part is tried under a few orders by itself. The part that misses the bound (a long stem, mostly) is
searched together with what lives through, and the other parts are placed around what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcuformer.memory.conflicts import Item
from mcuformer.memory.order_search import GRAIN, NEAR, PER_ITEM, search
from mcuformer.memory.packing import orders
from mcuformer.memory.shelf import Attempt, PlacingTable, Shelf


def place_parts(
    found: Sequence[Item], levels: Sequence[int], bound: int, fast_bytes: int, rounds: int
) -> list[int]:
    """Offsets of all items; what does not meet `bound` bytes is searched for up to `rounds` moves.

    The bytes used do not depend on `fast_bytes`, which only breaks ties.
    """
    through = _through(found)
    parts = _parts(found, through) or [[]]
    table = PlacingTable(found, fast_bytes, rounds)
    best: tuple[list[Shelf], list[Attempt]] | None = None
    for laid in _laid(table, through, bound):
        shelves = [Shelf(table, few, laid.offsets) for few in parts]
        made = [laid, *_tried(shelves, levels, bound)]
        if best is None or _top(made) < _top(best[1]):
            best = shelves, made
        if _top(made) <= bound:
            break
    assert best is not None
    shelves, made = best
    if _top(made) > bound and rounds:
        made = [made[0], *_searched(shelves, made[1:], levels, bound, PER_ITEM)]
    if _top(made) >= bound + GRAIN and rounds:
        worst = max(range(len(parts)), key=lambda p: made[p + 1].top)
        around = _around(table, through, parts, worst, levels, bound)
        smaller = min(made, around, key=_top)
        if _top(smaller) > max(NEAR * bound, around[0].top):  # the parts want different things
            seeds = [_by_offset(made), _by_offset(around)]
            whole = search(Shelf(table, range(len(found)), {}), levels, bound, 2 * PER_ITEM, seeds)
            smaller = min(smaller, [whole], key=_top)
        made = smaller
    return _settled(found, made)


def _searched(
    shelves: Sequence[Shelf], tried: Sequence[Attempt], levels: Sequence[int], bound: int, each: int
) -> list[Attempt]:
    """Parts that miss the bound are searched, with so many moves per item."""
    return [
        one if one.top <= bound
        else min(one, search(shelf, levels, bound, each), key=lambda made: made.top)
        for shelf, one in zip(shelves, tried, strict=True)
    ]  # fmt: skip


def _laid(table: PlacingTable, through: list[int], bound: int) -> Iterator[Attempt]:
    """What lives through at the bottom; where it is one buffer, also at the top of the bound: the
    same space, but filled from the other end."""
    yield Shelf(table, through, {}).place(through)
    if len(through) == 1:
        (i,) = through
        at = max(0, (bound - table.size[i]) // table.align[i] * table.align[i])
        yield Attempt(at + table.size[i], 0, {i: at})


def _around(
    table: PlacingTable, through: list[int], parts: Sequence[list[int]], worst: int,
    levels: Sequence[int], bound: int,
) -> list[Attempt]:  # fmt: skip
    """The worst part searched with what lives through, then all others around that."""
    made = search(Shelf(table, through + parts[worst], {}), levels, bound, 2 * PER_ITEM)
    laid, bound = {i: made.offsets[i] for i in through}, max(made.top, bound)
    shelves = [Shelf(table, p, laid) for k, p in enumerate(parts) if k != worst]
    return [made, *_searched(shelves, _tried(shelves, levels, bound), levels, bound, 2 * PER_ITEM)]


def _top(made: Sequence[Attempt]) -> int:
    return max((one.top for one in made), default=0)


def _by_offset(made: Sequence[Attempt]) -> tuple[int, ...]:
    """An order that places all items as low as they are, or lower."""
    offsets = {i: at for one in made for i, at in one.offsets.items()}
    return tuple(sorted(offsets, key=lambda i: offsets[i]))


def _settled(found: Sequence[Item], made: Sequence[Attempt]) -> list[int]:
    """Offsets of all items."""
    offsets = {i: at for one in made for i, at in one.offsets.items()}
    return [offsets[i] for i in range(len(found))]


def _tried(shelves: Sequence[Shelf], levels: Sequence[int], bound: int) -> list[Attempt]:
    """Of every part, the best that the orders make of it, up to one that leaves nothing to wish."""
    tries: list[list[Attempt]] = [[] for _ in shelves]
    unsettled = set(range(len(shelves)))
    known: list[dict[tuple[int, ...], Attempt]] = [{} for _ in shelves]  # few items have few orders
    home = {i: p for p, shelf in enumerate(shelves) for i in shelf.items}
    found = shelves[0].table.found if shelves else ()
    for order in orders(found, levels):
        mine: dict[int, list[int]] = {p: [] for p in unsettled}
        for i in order:
            if home.get(i) in unsettled:
                mine[home[i]].append(i)
        for p, few in mine.items():
            key = tuple(few)
            if key not in known[p]:
                made = shelves[p].place(few)
                slow = shelves[p].table.slow(made.offsets)
                known[p][key] = Attempt(made.top, slow, made.offsets)
            made = known[p][key]
            tries[p].append(made)
            if made.top <= bound and not made.slow:
                unsettled.remove(p)
        if not unsettled:
            break
    return [min(t, key=lambda made: (max(made.top, bound), made.slow)) for t in tries]


def _through(found: Sequence[Item]) -> list[int]:
    """Items that keep apart from more than a third of all, those with most to keep apart from first."""
    busy = [i for i, item in enumerate(found) if 3 * len(item.against) > len(found)]
    return sorted(busy, key=lambda i: -len(found[i].against))


def _parts(found: Sequence[Item], through: Sequence[int]) -> list[list[int]]:
    """All other items, in sets that conflicts connect."""
    seen, parts = set(through), []
    for first in range(len(found)):
        if first in seen:
            continue
        seen.add(first)
        stack = [first]
        for i in stack:
            new = [j for j in found[i].against if j not in seen]
            seen.update(new)
            stack += new
        parts.append(sorted(stack))
    return parts
