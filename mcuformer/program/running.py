"""How the regions of a program run, for those who want to see it: order, branches, strips of lines.

Nothing is computed from it: calls and buffers decide what happens, this says why they are as they are.
"""

from __future__ import annotations

from mcuformer.util.speed import record

LineRange = tuple[int, int]  # first line, one past the last


@record(frozen=True, slots=True)
class ImageLines:
    """An image of a region that runs in strips.

    `value` has `height` lines, of which `room` lie in SRAM at a time: all where it is whole, 0 where they
    lie in flash. A step in the middle makes (or fetches) the lines `made`, and finds the lines `kept`
    of the steps before. `source`: it is read, not made. `inside`: the value over which it is written.
    """

    value: str
    height: int
    line_bytes: int
    room: int
    kept: LineRange
    made: LineRange
    source: bool = False
    inside: str = ""


@record(frozen=True, slots=True)
class Sweep:
    """All strips of a region once, in `steps` steps; `images` in the order of their making."""

    steps: int
    images: tuple[ImageLines, ...]


@record(frozen=True, slots=True)
class RegionRun:
    """A region: `makes` are the values that it makes whole, of `size_bytes` together. `reads`: the regions
    whose values it reads, by number; the model's inputs have none. `way`: how it runs, in words."""

    name: str
    makes: tuple[str, ...]
    size_bytes: int
    reads: tuple[int, ...]
    way: str
    sweeps: tuple[Sweep, ...] = ()
