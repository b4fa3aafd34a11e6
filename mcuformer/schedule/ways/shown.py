"""What a region by lines does, for a picture of it: which lines of which image lie where in mid-course."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer.program.running import ImageLines, Sweep
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.ways.flow import LineGraph
from mcuformer.schedule.ways.strips import Strips
from mcuformer.schedule.ways.windows_of_lines import Windows


def shown(
    em: TaskEmitter, images: LineGraph, strips: Strips, windows: Windows, target: Loc
) -> Sweep:
    """`target`: where the last image goes, whole or a strip of it."""
    last = len(images.names) - 1
    return Sweep(strips.steps, tuple(_images(em, images, strips, windows, target, last)))


def _images(
    em: TaskEmitter, images: LineGraph, strips: Strips, windows: Windows, target: Loc, last: int
) -> Iterator[ImageLines]:
    middle = strips.steps // 2
    for k, name in enumerate(images.names):
        inside, at = "", windows.at[k]
        if k in windows.homes:
            inside, at = images.names[windows.homes[k]], windows.at[windows.homes[k]]
        elif k == last:
            at = target
            inside = next((n for n in images.names[:last] if _overlaid(em, n, target)), "")
        elif windows.is_whole(k):
            at = em.where[name]
        height, size = images.flow.heights[k], windows.line_bytes(k)
        buffer = (
            None if at is None else em.buffers.get(str(at.buffer))
        )  # none: flash, or handed out
        room = 0 if buffer is None else min(height, buffer.size_bytes // size)
        source = images.ops[k] is None
        kept, made = strips.kept(k, middle), strips.made(k, middle)
        yield ImageLines(name, height, size, room, kept, made, source, inside)


def _overlaid(em: TaskEmitter, name: str, target: Loc) -> bool:
    at = em.where.get(name)
    return at is not None and at.buffer is not None and at.buffer == target.buffer
