"""Which buffers must keep apart, and how many bytes any placement needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd

from mcuformer.memory.lifetimes import Live
from mcuformer.program.buffers import Buffer
from mcuformer.util.speed import record

Gap = tuple[int, int]  # differences of two offsets that collide, exclusive at both ends


@record(frozen=True, slots=True)
class Item:
    """A buffer to place and its lifetime.

    `against` maps the index of another item to the forbidden values of this offset less that one's.
    """

    buffer: Buffer
    lives: tuple[Live, ...]
    against: dict[int, list[Gap]]


def items(buffers: Sequence[Buffer], lives: Mapping[str, tuple[Live, ...]]) -> list[Item]:
    found = [Item(b, lives[b.name], {}) for b in buffers]
    events = sorted(
        ((live, i) for i, item in enumerate(found) for live in item.lives), key=lambda e: e[0].first
    )
    active: list[tuple[Live, int]] = []
    for live, i in events:
        active = [(o, j) for o, j in active if o.last >= live.first]
        for other, j in active:
            if i != j:
                _forbid(found, i, j, other.lo - live.hi, other.hi - live.lo)
        active.append((live, i))
    return found


def _forbid(found: Sequence[Item], i: int, j: int, lo: int, hi: int) -> None:
    """Both items know of it."""
    gaps = found[i].against.get(j)
    if gaps is None:
        found[i].against[j], found[j].against[i] = [(lo, hi)], [(-hi, -lo)]
    elif (lo, hi) not in gaps:
        gaps.append((lo, hi))
        found[j].against[i].append((-hi, -lo))


def live_bytes(found: Sequence[Item], positions: int) -> list[int]:
    """Bytes that matter at each position."""
    change = [0] * (positions + 1)
    for item in found:
        for live in item.lives:
            change[live.first] += live.hi - live.lo
            change[live.last + 1] -= live.hi - live.lo
    total, result = 0, []
    for delta in change[:positions]:
        total += delta
        result.append(total)
    return result


def lower_bound(found: Sequence[Item], positions: int, peak_bytes: int) -> int:
    """Bytes below which no placement exists.

    Buffers that begin at multiples of a common alignment leave gaps after all but the topmost of
    them; the peak is counted with those gaps, less the widest.
    """
    starts = [live.lo for item in found for live in item.lives]
    grain = gcd(*(item.buffer.align for item in found), *starts) or 1
    padded, widest = [0] * (positions + 1), [0] * (positions + 1)
    for item in found:
        for live in item.lives:
            size = live.hi - live.lo
            full = -(-size // grain) * grain
            padded[live.first] += full
            padded[live.last + 1] -= full
            for t in range(live.first, live.last + 1) if full > size else ():
                widest[t] = max(widest[t], full - size)
    total, bound = 0, peak_bytes
    for t in range(positions):
        total += padded[t]
        bound = max(bound, total - widest[t])
    return max(bound, *(i.buffer.size_bytes for i in found if i.lives), 0)
