"""Whether the target of a region by lines may be written over what the region reads."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import Region
from mcuformer.schedule.ways.flow import LineGraph, line_graph, wants_copy
from mcuformer.schedule.ways.strips import Strips


def trails(seen: LineGraph, strips: Strips, k: int, target_line: int, line: int) -> bool:
    """Whether the target, written from the first byte of source k on, stays behind its readers.

    `target_line`, `line`: bytes of a line of the target and of image k; `strips`: of the fewest lines.
    Higher strips stop at some of the places where those stop. The layer that makes the target may
    read its own lines where they are overwritten. Of what is copied, the copies are the reader.
    """
    name, last = seen.names[k], len(seen.names) - 1
    op, copy = seen.ops[last], seen.copies.get(name) == k
    assert op is not None
    reads = any(r == last for r, _ in seen.flow.readers[k]) and not copy
    if reads and (target_line != line or wants_copy(op, name, True)):
        return False
    if copy:
        ends = [(strips.made(last, i)[1], strips.made(k, i + 1)[0]) for i in range(strips.steps)]
        return all(n * target_line <= m * line for n, m in ends if m < strips.limits[k])
    for i in range(strips.steps):
        later = [r for r, _ in seen.flow.readers[k] if _is_left(strips, r, i + 1)]
        wanted = strips.kept(k, i + 1)[0] if later else None
        if wanted is not None and strips.made(last, i)[1] * target_line > wanted * line:
            return False
    return True


def _is_left(strips: Strips, r: int, i: int) -> bool:
    """Whether image r is not yet complete before step i."""
    return strips.made(r, i)[0] < strips.limits[r]


def trailing(
    em: TaskEmitter, region: Region, dying: Sequence[str], read: Sequence[str]
) -> Loc | None:
    """The place of one of the inputs `dying` where the target may be written, line by line; `read`:
    all inputs that lie somewhere."""
    seen, size = (
        line_graph(em, region.ops, region.copied, also=region.also),
        em.values[region.target].type.size_bytes,
    )
    strips = Strips.without_windows(seen.flow, 1)
    for name in dying:
        buffer = em.where[name].buffer
        alike = [n for n in read if em.where[n].buffer == buffer]
        fits = em.values[name].type.size_bytes >= size and name in seen.names
        if fits and all(_stays_behind(em, seen, strips, n) for n in alike):
            row_bytes = em.row_bytes(region.target)
            return Loc(Expr(), row_bytes, row_bytes, buffer)
    return None


def _stays_behind(em: TaskEmitter, seen: LineGraph, strips: Strips, name: str) -> bool:
    """Whether no reader wants bytes of `name` that the target has overwritten, from its first one on."""
    loc = em.where[name]
    if name not in seen.names or loc.start != Expr() or loc.stride != loc.row_bytes:
        return False
    images = [k for k in (seen.at.get(name), seen.copies.get(name)) if k is not None]
    target, *lines = [
        em.values[seen.names[k]].type.size_bytes // seen.flow.heights[k] for k in (-1, *images)
    ]
    return all(trails(seen, strips, k, target, n) for k, n in zip(images, lines, strict=True))
