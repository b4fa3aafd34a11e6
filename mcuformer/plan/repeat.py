"""Blocks that repeat: one of each kind is placed, and the others lie where it lies.

Between two places of the order where the same buffers are alive, and no others, lies a *segment*.
Segments of equal regions under equal choices have equal conflicts, so a program without all but the
last of them has the same placement problem. The search plans networks in which they do not even
occur (`Graph.meta["times"]`), and compile copies the placement (docs/adr/0005).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mcuformer.schedule.build import Skeleton
from mcuformer.schedule.regions import Choice, Region

Extent = tuple[str, int, int]  # buffer, first byte, one past the last


@dataclass(frozen=True, slots=True)
class Repeats:
    """`twin[i]` is the region that region i is placed like (itself where it is kept), and
    `crossing[i]` pairs the buffers that cross borders inside its segment with its twin's."""

    twin: tuple[int, ...]
    crossing: Mapping[str, str]

    @property
    def kept(self) -> frozenset[int]:
        return frozenset(self.twin)


def repeats(fr: Skeleton, keys: Sequence[object], choices: Sequence[Choice]) -> Repeats:
    """`keys`: equal for regions of equal shapes (curve.signature)."""
    touched = [_touched(fr, region) for region in fr.regions]
    cuts, through = _cuts(fr, touched)
    twin = list(range(len(fr.regions)))
    crossing: dict[str, str] = {}
    last: dict[object, tuple[int, list[str]]] = {}
    needs: dict[str, tuple[int, int]] = {}
    read_to = len(fr.regions)
    for start, stop in reversed(list(pairwise(cuts))):
        for i in range(stop, read_to):
            _widen(needs, touched[i])
        read_to = stop
        inner: dict[str, int] = {}
        roles = [
            (e[0] if e[0] in through else inner.setdefault(e[0], len(inner)), *e[1:])
            for t in touched[start:stop]
            for e in (*t, ("", 0, 0))
        ]
        later = sorted((n, needs[n]) for n in through if n in needs)
        key = (*keys[start:stop], *choices[start:stop], *roles, *later)
        where, names = last.setdefault(key, (start, list(inner)))
        for i in range(start, stop):
            twin[i] = where + i - start
        crossing.update(zip(inner, names, strict=True))
    return Repeats(tuple(twin), crossing)


def _touched(fr: Skeleton, region: Region) -> list[Extent]:
    """Bytes of materialised values that a region reads or writes."""
    where, values = fr.emitter.where, fr.emitter.values
    found = []
    for name in dict.fromkeys(n for op in region.ops for n in (*op.inputs, *op.outputs)):
        loc = where.get(name) if name is not None else None
        if name is not None and loc is not None and loc.buffer is not None:
            rows = values[name].type.shape[0]
            first = loc.start.const
            found.append((loc.buffer, first, first + (rows - 1) * loc.stride + loc.row_bytes))
    return found


def _widen(needs: dict[str, tuple[int, int]], touched: Sequence[Extent]) -> None:
    for name, lo, hi in touched:
        old = needs.get(name, (lo, hi))
        needs[name] = min(old[0], lo), max(old[1], hi)


def _alive(first: Mapping[str, int], last: Mapping[str, int], count: int) -> list[frozenset[str]]:
    """Before each of `count` regions but the first, the names that one before it has touched and
    one from it on will."""
    begins: dict[int, list[str]] = {}
    for name, start in first.items():
        begins.setdefault(max(start, 0), []).append(name)
    now: set[str] = set()
    found = []
    for i in range(1, count):
        now |= set(begins.get(i - 1, ()))
        now -= {n for n in now if last.get(n, -1) < i}
        found.append(frozenset(now))
    return found


def _cuts(fr: Skeleton, touched: Sequence[Sequence[Extent]]) -> tuple[list[int], frozenset[str]]:
    """Borders before regions where the most usual set of buffers is alive, and that set."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for name in fr.graph.inputs:
        if name in fr.emitter.where:
            first[str(fr.emitter.where[name].buffer)] = -1
    for i, extents in enumerate(touched):
        for name, _, _ in extents:
            first.setdefault(name, i)
            last[name] = i
    for name in (n for n in fr.graph.outputs if n not in fr.emitter.leaving):
        last[str(fr.emitter.where[name].buffer)] = len(touched)
    alive = _alive(first, last, len(touched))
    if not alive:
        return [], frozenset()
    through = Counter(alive).most_common(1)[0][0]
    return [i for i, names in enumerate(alive, 1) if names == through], through
