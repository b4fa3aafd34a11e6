"""Orders in which buffers are tried: small or short-lived ones are left to fill the gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcuformer.memory.conflicts import Item


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
