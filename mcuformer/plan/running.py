"""The regions of an assembled program as they run, one after the other: for pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mcuformer.program.running import RegionRun, Sweep
from mcuformer.schedule.build import Skeleton
from mcuformer.schedule.regions import VIEWS, activations

Sweeps = dict[int, list[Callable[[], Sweep]]]  # by region


def region_runs(
    fr: Skeleton, ways: Sequence[str], sweeps: Mapping[int, Sequence]
) -> Iterator[RegionRun]:
    """Of all regions but views, which belong to the region that makes their source; `ways`: in words."""
    numbers: dict[str, int] = {}  # of the run that makes a value
    count = 0
    for i, (region, way) in enumerate(zip(fr.regions, ways, strict=True)):
        read = {n for op in region.ops for n in activations(fr.graph, op)}
        reads = sorted({numbers[n] for n in read if n in numbers})
        makes = (region.target, *region.also)
        if all(op.kind in VIEWS for op in region.ops):
            numbers.update((region.target, n) for n in reads[:1])
            continue
        numbers.update((n, count) for n in makes)
        count += 1
        size = sum(fr.graph.type(n).size_bytes for n in makes if n in fr.emitter.where)
        shown = tuple(sweep() for sweep in sweeps.get(i, ()))
        yield RegionRun(region.name, makes, size, tuple(reads), way, shown)
