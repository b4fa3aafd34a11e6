"""Attempts to place some buffers around others: every one at the lowest offset that is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mcuformer.memory.conflicts import Gap, Item
from mcuformer.memory.model import UNLIMITED

Offsets = dict[int, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """`slow`: hinted bytes outside fast memory. `offsets` is empty where placing was given up."""

    top: int
    slow: int
    offsets: Offsets


@dataclass(slots=True, eq=False)
class PlacingTable:
    """Of every item, what placing needs: bytes, alignment, gaps to others, bytes it wants fast."""

    found: Sequence[Item]
    fast_bytes: int
    rounds: int  # the most moves of any search
    size: list[int] = field(init=False)
    align: list[int] = field(init=False)
    rivals: list[list[tuple[int, int, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.size = [item.buffer.size_bytes for item in self.found]
        self.align = [item.buffer.align for item in self.found]
        self.rivals = [
            [
                (j, lo, hi)
                for j, gaps in item.against.items()
                for lo, hi in (gaps if len(gaps) == 1 else _joined(gaps))
            ]
            for item in self.found
        ]

    def slow(self, offsets: Offsets) -> int:
        """Hinted bytes that lie outside fast memory."""
        if not self.fast_bytes:
            return 0
        hinted = [i for i in offsets if self.found[i].buffer.hint == "fast"]
        ends = [(offsets[i] + self.size[i], self.size[i]) for i in hinted]
        return sum(max(0, min(size, end - self.fast_bytes)) for end, size in ends)


@dataclass(slots=True, eq=False)
class Shelf:
    """Some of all items, to be placed around others at `fixed` offsets."""

    table: PlacingTable
    items: Sequence[int]
    fixed: Offsets
    rivals: list[list[tuple[int, int, int]]] = field(init=False)
    empty: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self.rivals = self.table.rivals
        self.empty = [None] * len(self.rivals)
        for i, at in self.fixed.items():
            self.empty[i] = at

    def narrow(self) -> None:
        """Forget all gaps to items elsewhere: worth its time before hundreds of attempts."""
        known = {*self.items, *self.fixed}
        self.rivals = [
            [gap for gap in gaps if gap[0] in known] if i in known else []
            for i, gaps in enumerate(self.table.rivals)
        ]

    def place(
        self, order: Sequence[int], most: int = UNLIMITED, start: Attempt | None = None
    ) -> Attempt:
        """Every item of `order` at the lowest offset that is free of those placed before, the first
        ones as `start` has them; given up, with nothing but its top, where that is above `most`."""
        size, align, rivals = self.table.size, self.table.align, self.rivals
        offset, top = self.empty[:], 0
        known = start.offsets if start else {}
        for i, there in known.items():
            offset[i] = there
            top = max(top, there + size[i])
        for i in order[len(known) :]:
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
                    return Attempt(top, 0, {})
        return Attempt(top, 0, {i: offset[i] or 0 for i in order})


def _joined(gaps: Sequence[Gap]) -> list[Gap]:
    """The same gaps, those that overlap as one (a ring's rows come and go)."""
    found: list[Gap] = []
    for lo, hi in sorted(gaps):
        if found and lo < found[-1][1]:
            found[-1] = (found[-1][0], max(hi, found[-1][1]))
        else:
            found.append((lo, hi))
    return found
