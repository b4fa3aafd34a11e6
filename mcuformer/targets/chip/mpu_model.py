"""What the memory protection unit allows, from the values written to it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

READ, WRITE, EXECUTE = 1, 2, 4
_ACCESS: Mapping[int, int] = {
    0: 0,
    1: READ | WRITE,
    2: READ | WRITE,
    3: READ | WRITE,
    5: READ,
    6: READ,
    7: READ,
}


@dataclass(slots=True)
class MpuModel:
    enabled: bool = False
    background: bool = False  # PRIVDEFENA: the default map where no region matches
    number: int = 0
    regions: dict[int, tuple[int, int]] = field(default_factory=dict)  # number -> RBAR, RASR

    def select(self, rbar: int) -> None:
        if rbar & 16:
            self.number = rbar & 15
        self.regions[self.number] = (rbar & ~31, 0)

    def set_attributes(self, rasr: int) -> None:
        self.regions[self.number] = (self.regions[self.number][0], rasr)

    def allowed(self, address: int) -> int:
        """READ | WRITE | EXECUTE of the highest enabled region that holds the address."""
        if not self.enabled:
            return READ | WRITE | EXECUTE
        for number in sorted(self.regions, reverse=True):
            base, rasr = self.regions[number]
            log2 = (rasr >> 1 & 31) + 1
            if not rasr & 1 or address >> log2 != base >> log2:
                continue
            if log2 >= 8 and rasr >> 8 & 0xFF & 1 << (address >> (log2 - 3) & 7):
                continue
            access = _ACCESS.get(rasr >> 24 & 7, 0)
            return access | (EXECUTE if access and not rasr >> 28 & 1 else 0)
        return READ | WRITE | EXECUTE if self.background else 0

    def spans(self, base: int, end: int) -> list[tuple[int, int, int]]:
        """[base, end) cut where permissions may change: (start, end, allowed)."""
        cuts = {base, end}
        for start, rasr in self.regions.values():
            eighth = max((2 << (rasr >> 1 & 31)) // 8, 32)
            cuts |= {start + i * eighth for i in range(9) if base < start + i * eighth < end}
        ordered = sorted(cuts)
        pieces: list[tuple[int, int, int]] = []
        for start, stop in itertools.pairwise(ordered):
            allowed = self.allowed(start)
            if pieces and pieces[-1][2] == allowed:
                pieces[-1] = (pieces[-1][0], stop, allowed)
            else:
                pieces.append((start, stop, allowed))
        return pieces
