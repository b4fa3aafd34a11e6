"""Greedy packing: every buffer, in a given order, at the lowest offset that is free.

Then come the orders worth trying, fast memory (buffers that ask for it are brought down into it, at
no byte more), and groups: buffers that play the same part in equal blocks share one placement, so
that one block is searched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcuformer.memory.conflicts import Item
from mcuformer.memory.model import Arena


@dataclass(frozen=True, slots=True)
class Packing:
    """Arena index and offset of every item.

    `cost`, lower is better: bytes that do not fit, bytes used, hinted bytes outside fast memory.
    """

    arena: tuple[int, ...]
    offset: tuple[int, ...]
    used: tuple[int, ...]
    cost: tuple[int, int, int]


def pack(
    order: Sequence[int], found: Sequence[Item], arenas: Sequence[Arena], tries: Sequence[int]
) -> Packing:
    """Place `found` in `order`, each in the first arena of `tries` with room.

    Buffers that ask for fast memory try the arena with most of it first. What fits nowhere
    overflows the first arena.
    """
    arena, offset = [-1] * len(found), [0] * len(found)
    fast = any(r.fast_bytes for r in arenas)
    fast_first = sorted(tries, key=lambda r: -arenas[r].fast_bytes)
    for i in order:
        buffer = found[i].buffer
        hinted = fast and buffer.hint == "fast"
        for r in fast_first if hinted else tries:
            at = lowest(found[i], r, arena, offset)
            if at + buffer.size_bytes <= arenas[r].size_bytes:
                break
        else:
            r, at = 0, lowest(found[i], 0, arena, offset)
        arena[i], offset[i] = r, at
    return packed(found, arenas, arena, offset)


def packed(
    found: Sequence[Item], arenas: Sequence[Arena], arena: Sequence[int], offset: Sequence[int]
) -> Packing:
    """What a placement uses and costs."""
    used, slow = [0] * len(arenas), 0
    fast = any(r.fast_bytes for r in arenas)
    for item, r, at in zip(found, arena, offset, strict=True):
        used[r] = max(used[r], at + item.buffer.size_bytes)
        slow += slow_bytes(item, at, arenas[r]) if fast else 0
    missing = sum(max(0, u - r.size_bytes) for u, r in zip(used, arenas, strict=True))
    return Packing(tuple(arena), tuple(offset), tuple(used), (missing, sum(used), slow))


def slow_bytes(item: Item, offset: int, arena: Arena) -> int:
    """Bytes of a hinted buffer that lie outside the fast start of its arena."""
    size = item.buffer.size_bytes
    if item.buffer.hint != "fast":
        return 0
    return max(0, min(size, offset + size - arena.fast_bytes))


def lowest(item: Item, r: int, arena: list[int], offset: list[int]) -> int:
    """The lowest aligned offset in arena `r` that collides with nothing placed there."""
    align = item.buffer.align
    taken = [
        (offset[j] + lo, offset[j] + hi)
        for j, gaps in item.against.items()
        if arena[j] == r
        for lo, hi in gaps
    ]
    taken.sort()
    at = 0
    for lo, hi in taken:
        if at <= lo:
            break
        if at < hi:
            at = -(-hi // align) * align
    return at


def orders(found: Sequence[Item], levels: Sequence[int]) -> Iterator[list[int]]:
    """Permutations of the items' indices; `levels`: live bytes at every call."""
    every = range(len(found))
    begin = [min((live.first for live in i.lives), default=0) for i in found]
    size = [i.buffer.size_bytes for i in found]
    slow = [i.buffer.hint != "fast" for i in found]
    yield sorted(every, key=lambda i: (-size[i], begin[i]))
    yield sorted(every, key=lambda i: (slow[i], -size[i], begin[i]))
    span = [sum(live.last - live.first + 1 for live in i.lives) for i in found]
    yield sorted(every, key=lambda i: (-span[i], -size[i], begin[i]))
    yield sorted(every, key=lambda i: (-span[i] * size[i], begin[i]))
    yield sorted(every, key=lambda i: (begin[i], -span[i], -size[i]))
    crowd = [
        max((max(levels[live.first : live.last + 1]) for live in i.lives), default=0) for i in found
    ]
    yield sorted(every, key=lambda i: (-crowd[i], -size[i], begin[i]))


def move(order: list[int], item: int, place: int) -> None:
    order.remove(item)
    order.insert(place, item)


def prefer_fast(made: Packing, found: Sequence[Item], arenas: Sequence[Arena]) -> Packing:
    """`made`, or one upside down, with every hinted buffer as low as the others leave it.

    Fast memory is the start of a arena, and panels live shortly: they come to lie on top of what
    lives long, the more so where they are placed last. Upside down nothing else changes, except
    where two buffers share bytes in part.
    """
    if not made.cost[2]:  # no fast memory, or nothing outside it
        return made
    order = sorted(range(len(found)), key=lambda i: (_hinted(found[i]), made.offset[i]))
    last = pack(order, found, arenas, range(len(arenas)))
    ways = [made, *_upside_down(made, found, arenas), *_upside_down(last, found, arenas)]
    return min((_lowered(way, found, arenas) for way in ways), key=lambda p: p.cost)


def _upside_down(made: Packing, found: Sequence[Item], arenas: Sequence[Arena]) -> list[Packing]:
    """The mirrored packing, where it is legal and everything fits."""
    if made.cost[0]:
        return []
    grain = max((item.buffer.align for item in found), default=1)
    tops = [_up(used, grain) for used in made.used]
    offset = [
        tops[r] - at - _up(item.buffer.size_bytes, grain)
        for item, r, at in zip(found, made.arena, made.offset, strict=True)
    ]
    for i, item in enumerate(found):
        for j, gaps in item.against.items():
            if j < i or made.arena[i] != made.arena[j]:  # every pair is listed twice
                continue
            apart = offset[i] - offset[j]
            if any(lo < apart < hi for lo, hi in gaps):
                return []
    return [] if min(offset, default=0) < 0 else [packed(found, arenas, made.arena, offset)]


def _lowered(made: Packing, found: Sequence[Item], arenas: Sequence[Arena]) -> Packing:
    arena, offset = list(made.arena), list(made.offset)
    hinted = [i for i, item in enumerate(found) if _hinted(item)]
    for i in sorted(hinted, key=lambda i: offset[i]):
        offset[i] = min(offset[i], lowest(found[i], arena[i], arena, offset))
    return packed(found, arenas, arena, offset)


def _hinted(item: Item) -> bool:
    return item.buffer.hint == "fast"


def _up(size: int, grain: int) -> int:
    return -(-size // grain) * grain


ALIKE_ROUNDS = 4  # how far apart two differences may be and still tell buffers apart


def collapse(found: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """Items that stand for groups, and the group of every given item."""
    group = _groups(found, _colours(found))
    merged: dict[int, Item] = {}
    for i, item in enumerate(found):
        one = merged.setdefault(group[i], Item(item.buffer, item.lives, {}))
        for j, gaps in item.against.items():
            known = one.against.setdefault(group[j], [])
            known += [gap for gap in gaps if gap not in known]
    return [merged[g] for g in range(len(merged))], group


def _colours(found: Sequence[Item]) -> list[int]:
    keys: list[object] = [
        (i.buffer.size_bytes, i.buffer.align, i.buffer.hint, len(i.lives)) for i in found
    ]
    colour = _numbered(keys)
    for _ in range(ALIKE_ROUNDS):
        keys = [
            (colour[i], frozenset((colour[j], *gaps) for j, gaps in item.against.items()))
            for i, item in enumerate(found)
        ]
        before, colour = colour, _numbered(keys)
        if len(set(before)) == len(set(colour)):
            break
    return colour


def _numbered(keys: Sequence[object]) -> list[int]:
    table: dict[object, int] = {}
    return [table.setdefault(key, len(table)) for key in keys]


def _groups(found: Sequence[Item], colour: Sequence[int]) -> list[int]:
    """Members of a colour, in order of time, each in the first group it has no conflict with."""
    teams: dict[int, list[set[int]]] = defaultdict(list)
    begin = [min((live.first for live in item.lives), default=0) for item in found]
    order = sorted(range(len(found)), key=begin.__getitem__)
    team: list[set[int]] = [set()] * len(found)
    for i in order:
        options = teams[colour[i]]
        mine = next((t for t in options if not t & found[i].against.keys()), None)
        if mine is None:
            options.append(mine := set())
        mine.add(i)
        team[i] = mine
    return _numbered([id(t) for t in team])
