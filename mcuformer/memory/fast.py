"""Brings buffers that ask for tightly coupled memory down into it, at no byte more."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.memory.conflicts import Item
from mcuformer.memory.model import Region
from mcuformer.memory.pack import Packing, lowest, pack, packed


def prefer_fast(made: Packing, found: Sequence[Item], regions: Sequence[Region]) -> Packing:
    """`made`, or one upside down, with every hinted buffer as low as the others leave it.

    Fast memory is the start of a region, and panels live shortly: they come to lie on top of what
    lives long, the more so where they are placed last. Upside down nothing else changes, except
    where two buffers share bytes in part.
    """
    if not made.cost[2]:  # no fast memory, or nothing outside it
        return made
    order = sorted(range(len(found)), key=lambda i: (_hinted(found[i]), made.offset[i]))
    last = pack(order, found, regions, range(len(regions)))
    ways = [made, *_upside_down(made, found, regions), *_upside_down(last, found, regions)]
    return min((_settled(way, found, regions) for way in ways), key=lambda p: p.cost)


def _upside_down(made: Packing, found: Sequence[Item], regions: Sequence[Region]) -> list[Packing]:
    """The mirrored packing, where it is legal and everything fits."""
    if made.cost[0]:
        return []
    grain = max((item.buffer.align for item in found), default=1)
    tops = [_up(used, grain) for used in made.used]
    offset = [
        tops[r] - at - _up(item.buffer.size_bytes, grain)
        for item, r, at in zip(found, made.region, made.offset, strict=True)
    ]
    for i, item in enumerate(found):
        for j, gaps in item.against.items():
            if j < i or made.region[i] != made.region[j]:  # every pair is listed twice
                continue
            apart = offset[i] - offset[j]
            if any(lo < apart < hi for lo, hi in gaps):
                return []
    return [] if min(offset, default=0) < 0 else [packed(found, regions, made.region, offset)]


def _settled(made: Packing, found: Sequence[Item], regions: Sequence[Region]) -> Packing:
    region, offset = list(made.region), list(made.offset)
    hinted = [i for i, item in enumerate(found) if _hinted(item)]
    for i in sorted(hinted, key=lambda i: offset[i]):
        offset[i] = min(offset[i], lowest(found[i], region[i], region, offset))
    return packed(found, regions, region, offset)


def _hinted(item: Item) -> bool:
    return item.buffer.hint == "fast"


def _up(size: int, grain: int) -> int:
    return -(-size // grain) * grain
