"""Regions as report.html shows them: their order with the branches between them, and strips of lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcuformer.program.running import ImageLines, RegionRun, Sweep

REGION, LANE, MARGIN = 14, 18, 10  # of the picture of the order, in pixels


@dataclass(frozen=True, slots=True)
class Dot:
    """A region at (x, y); `in_lines`: it runs in strips."""

    x: int
    y: int
    title: str
    in_lines: bool


@dataclass(frozen=True, slots=True)
class OrderPicture:
    """`dots` from left to right as the regions run; `wires`: SVG paths from what makes a value to those
    who read it. Wires side by side are values that live at the same time."""

    width: int
    height: int
    lanes: int
    dots: tuple[Dot, ...]
    wires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineBar:
    """An image as a bar of all its lines; shares in percent. `size_bytes`: what its window adds."""

    name: str
    place: str
    kept_from: float
    kept_share: float
    made_from: float
    made_share: float
    is_whole: bool
    kept_lines: int
    made_lines: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StripPicture:
    """Regions that run alike: `names` of all; of every sweep the number of steps, and its images."""

    names: tuple[str, ...]
    way: str
    ring_bytes: int
    sweeps: tuple[tuple[int, tuple[LineBar, ...]], ...]


def order_picture(runs: Sequence[RegionRun]) -> OrderPicture:
    """A value keeps its lane from its making to its last reader, who takes it over."""
    lanes = _lanes(runs)
    at = [(MARGIN + REGION * i, MARGIN + LANE * lane) for i, lane in enumerate(lanes)]
    wires = tuple(
        f"M{at[j][0]} {at[j][1]}H{max(at[j][0], at[i][0] - REGION)}L{at[i][0]} {at[i][1]}"
        for i, run in enumerate(runs)
        for j in run.reads
    )
    dots = tuple(Dot(*at[i], _title(i, run), bool(run.sweeps)) for i, run in enumerate(runs))
    count = max(lanes, default=-1) + 1
    width, height = REGION * max(len(runs) - 1, 0), LANE * max(count - 1, 0)
    return OrderPicture(width + 2 * MARGIN, height + 2 * MARGIN, count, dots, wires)


def _lanes(runs: Sequence[RegionRun]) -> list[int]:
    last = list(range(len(runs)))
    for i, run in enumerate(runs):
        for j in run.reads:
            last[j] = i
    lanes: list[int] = []
    taken: dict[int, int] = {}  # lane -> the region whose value is in it
    for i, run in enumerate(runs):
        done = [j for j in run.reads if last[j] == i]
        heir = max(done, key=lambda j: (runs[j].size_bytes, -j), default=None)
        for j in done:
            del taken[lanes[j]]
        free = next(lane for lane in range(len(runs) + 1) if lane not in taken)
        lanes.append(free if heir is None else lanes[heir])
        if last[i] > i:
            taken[lanes[i]] = i
    return lanes


def _title(i: int, run: RegionRun) -> str:
    return f"{i}: {run.name}, {run.way}; makes {run.size_bytes:,} B"


def strip_pictures(runs: Sequence[RegionRun]) -> list[StripPicture]:
    """One of each kind, in the order in which they come first."""
    alike: dict[object, list[RegionRun]] = defaultdict(list)
    for run in runs:
        if run.sweeps:
            alike[run.way, tuple(map(_shape, run.sweeps))].append(run)
    return [_strip_picture(found) for found in alike.values()]


def _shape(sweep: Sweep) -> object:
    numbers = [
        (i.height, i.line_bytes, i.room, i.kept, i.made, i.source, bool(i.inside))
        for i in sweep.images
    ]
    return sweep.steps, tuple(numbers)


def _strip_picture(runs: Sequence[RegionRun]) -> StripPicture:
    sweeps = [(s.steps, tuple(map(_bar, s.images))) for s in runs[0].sweeps]
    rings = [sum(_ring_bytes(i) for i in s.images) for s in runs[0].sweeps]
    names = tuple(run.name for run in runs)
    return StripPicture(names, runs[0].way, max(rings), tuple(sweeps))


def _bar(image: ImageLines) -> LineBar:
    first, kept_end = image.kept
    start, end = image.made
    return LineBar(
        image.value, "; ".join(_places(image)),
        *_shares(image, first, kept_end), *_shares(image, start, end), image.room >= image.height,
        kept_end - first, end - start, image.height, _ring_bytes(image),
    )  # fmt: skip


def _shares(image: ImageLines, first: int, end: int) -> tuple[float, float]:
    return round(100 * first / image.height, 2), round(100 * (end - first) / image.height, 2)


def _places(image: ImageLines) -> Iterator[str]:
    yield "read" if image.source else "made"
    if image.room >= image.height:
        yield "whole"
    else:
        yield f"{image.room:,} lines at a time" if image.room else "no byte in SRAM"
    if image.inside:
        yield f"over {image.inside}"


def _ring_bytes(image: ImageLines) -> int:
    """Of a window of its own."""
    return 0 if image.inside or image.room >= image.height else image.room * image.line_bytes
