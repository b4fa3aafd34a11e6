"""Greedy placement in one given order: every buffer at the lowest offset that is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcuformer.memory.conflicts import Item
from mcuformer.memory.model import Region


@dataclass(frozen=True, slots=True)
class Packing:
    """Region index and offset of every item.

    `cost`, lower is better: bytes that do not fit, bytes used, hinted bytes outside fast memory.
    """

    region: tuple[int, ...]
    offset: tuple[int, ...]
    used: tuple[int, ...]
    cost: tuple[int, int, int]


def pack(
    order: Sequence[int], found: Sequence[Item], regions: Sequence[Region], tries: Sequence[int]
) -> Packing:
    """Place `found` in `order`, each in the first region of `tries` with room.

    Buffers that ask for fast memory try the region with most of it first. What fits nowhere
    overflows the first region.
    """
    region, offset = [-1] * len(found), [0] * len(found)
    fast = any(r.fast_bytes for r in regions)
    fast_first = sorted(tries, key=lambda r: -regions[r].fast_bytes)
    for i in order:
        buffer = found[i].buffer
        hinted = fast and buffer.hint == "fast"
        for r in fast_first if hinted else tries:
            at = lowest(found[i], r, region, offset)
            if at + buffer.size_bytes <= regions[r].size_bytes:
                break
        else:
            r, at = 0, lowest(found[i], 0, region, offset)
        region[i], offset[i] = r, at
    return packed(found, regions, region, offset)


def packed(
    found: Sequence[Item], regions: Sequence[Region], region: Sequence[int], offset: Sequence[int]
) -> Packing:
    """What a placement uses and costs."""
    used, slow = [0] * len(regions), 0
    fast = any(r.fast_bytes for r in regions)
    for item, r, at in zip(found, region, offset, strict=True):
        used[r] = max(used[r], at + item.buffer.size_bytes)
        slow += slow_bytes(item, at, regions[r]) if fast else 0
    missing = sum(max(0, u - r.size_bytes) for u, r in zip(used, regions, strict=True))
    return Packing(tuple(region), tuple(offset), tuple(used), (missing, sum(used), slow))


def slow_bytes(item: Item, offset: int, region: Region) -> int:
    """Bytes of a hinted buffer that lie outside the fast start of its region."""
    size = item.buffer.size_bytes
    if item.buffer.hint != "fast":
        return 0
    return max(0, min(size, offset + size - region.fast_bytes))


def lowest(item: Item, r: int, region: list[int], offset: list[int]) -> int:
    """The lowest aligned offset in region `r` that collides with nothing placed there."""
    align = item.buffer.align
    taken = [
        (offset[j] + lo, offset[j] + hi)
        for j, gaps in item.against.items()
        if region[j] == r
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
