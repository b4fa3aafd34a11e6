"""Which squeezes are swept twice (squeezes.py): those whose wide image is more than the model has to hold.

Shapes alone decide, as where runs are cut: of every squeeze what its block needs at least with the wide
image whole, and with only windows of it. The limit is the most of the better ones, and of all else.
"""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer.ir.graph import Graph
from mcuformer.schedule.cutting import least
from mcuformer.schedule.images import line_counts
from mcuformer.schedule.modulation import Modulation
from mcuformer.schedule.needs import Needs
from mcuformer.schedule.regions import Region, split
from mcuformer.schedule.squeezes import gates_its_mean, squeezes
from mcuformer.schedule.ways.modulate import line_operations


def swept(graph: Graph, mode: str) -> tuple[Modulation, ...]:
    """The squeezes that have to be swept for the model to need as little as it can."""
    found = tuple(squeezes(graph))
    if not found:
        return ()
    counts = line_counts(graph.ops, graph)
    regions = split(graph, found)
    needs = Needs.of(graph, regions, counts, mode)
    limit = max([least(graph, regions, needs), *_others(regions, needs)])
    kept, sweeps = [], []
    for one in found:
        others = split(graph, [o for o in found if o is not one])
        places = frozenset(op.name for op in graph.ops if op.outputs[0] in {*one.inner, one.leaves})
        kept.append(least(graph, others, Needs.of(graph, others, counts, mode), places))
        region = next(r for r in regions if any(o.name in places for o in r.ops))
        sweeps.append(_need(graph, region, needs))
    limit = max([limit, *map(min, zip(kept, sweeps, strict=True))])
    return tuple(one for one, size in zip(found, kept, strict=True) if size > limit)


def _need(graph: Graph, region: Region, needs: Needs) -> int:
    """Bytes at the second sweep, which also has the target."""
    found = needs.of_region(line_operations(graph, region.ops))
    return 1 << 60 if found is None else found[0]


def _others(regions: list[Region], needs: Needs) -> Iterator[int]:
    """What lives before and after all else than squeezes: bytes that no cutting saves."""
    for region in regions:
        if not (region.in_lines or gates_its_mean(region.ops)):
            yield needs.alive[needs.places[region.ops[0].name]]
            yield needs.alive[needs.places[region.ops[-1].name] + 1]
