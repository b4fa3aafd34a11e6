"""A further task for a package of tasks: on the grids and the network that it has (docs/adr/0014)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.operators.verify import verify
from mcuformer.quant.assignment import Formats
from mcuformer.quant.lower import lower_by_plan, ready
from mcuformer.quant.stored import restored
from mcuformer.quant.tasks import (
    GRIDS,
    AdaptedTask,
    SharedRounding,
    adapter_values,
    ends_of,
    evened,
    own_layers,
)


def lower_further(task: AdaptedTask, known: AdaptedTask, kept: Graph, formats: Formats) -> Graph:
    """The integer graph of `task`, of which only adapters and head are new: `kept` is that of `known`, as
    `lower_tasks` made it. UsageError where they are not adaptations of one network."""
    stats = ready(task.stats, formats)
    own = own_layers([ready(known.stats, formats).graph, stats.graph])
    stats = replace(stats, graph=evened(stats.graph, adapter_values(stats.graph)))
    if GRIDS not in kept.meta:
        raise UsageError(
            "the package keeps no grids that a further task could have",
            "compile it with --adapter-mode runtime and --activations 8",
        )
    plan = restored(stats.graph, str(kept.meta[GRIDS]))
    rounding = SharedRounding({}, own - set(ends_of(stats.graph)))
    return _spliced(lower_by_plan(task.graph, stats, plan, "8", formats, {}, rounding), kept, own)


def _spliced(made: Graph, kept: Graph, own: Collection[str]) -> Graph:
    """The operations `own` as they were made, all others as they were kept, to the last constant."""
    values, ops = dict(made.values), []
    for mine, theirs in zip(made.ops, kept.ops, strict=True):
        assert (mine.name, mine.kind, mine.outputs) == (theirs.name, theirs.kind, theirs.outputs)
        if mine.name in own:
            ops.append(mine)
            continue
        ops.append(theirs)
        values |= {
            n: kept.values[n] for n in theirs.inputs if n is not None and kept.values[n].is_const
        }
        values |= {n: kept.values[n] for n in theirs.outputs}
    meta = {**made.meta, GRIDS: kept.meta[GRIDS]}
    return verify(made.replace(ops=tuple(ops), values=values, meta=meta))
