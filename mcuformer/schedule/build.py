"""The skeleton of a program: what does not depend on how its regions run, and the table of ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Graph
from mcuformer.operators.line_outputs import leaving
from mcuformer.operators.row import Movement
from mcuformer.operators.table import INT_OPS
from mcuformer.schedule.branches import in_best_order
from mcuformer.schedule.columns import split_column_views
from mcuformer.schedule.cutting import cut, cut_like
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.outlets import handed_out, outlet
from mcuformer.schedule.patch_views import by_patches
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import VIEWS, Choice, Region, split
from mcuformer.schedule.storage import Storage
from mcuformer.schedule.sweeping import swept
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.absorbed import absorbed, absorbed_together
from mcuformer.schedule.ways.channel_tiles import by_channels
from mcuformer.schedule.ways.conv import convolve
from mcuformer.schedule.ways.embed import patches
from mcuformer.schedule.ways.gather import gather
from mcuformer.schedule.ways.heads import head_by_head
from mcuformer.schedule.ways.join import concat, copies_first, move
from mcuformer.schedule.ways.kept import keep_kv
from mcuformer.schedule.ways.mean import mean
from mcuformer.schedule.ways.modulate import whole_images
from mcuformer.schedule.ways.over_image import lies_over_image, over_image
from mcuformer.schedule.ways.patch_rows import patches_of_rows
from mcuformer.schedule.ways.ring import RING, ring_of_lines
from mcuformer.schedule.ways.rows import tokenwise
from mcuformer.schedule.ways.sweeps import KEPT_IMAGE, SWEEPS, SWEEPS_IN_PLACE, in_sweeps
from mcuformer.schedule.ways.window_map import by_window_map
from mcuformer.schedule.ways.window_tiles import window_by_tiles
from mcuformer.schedule.ways.windows import windowed

Way = Callable[[TaskEmitter, Region, Loc, Choice], Steps]
ATTENTIONS: Mapping[str, Way] = {  # by Choice.schedule
    "kv": keep_kv,
    "heads": head_by_head,
    "absorbed": absorbed,
    "absorbed together": absorbed_together,
    "windows": windowed,
    "window tiles": window_by_tiles,
    "window map": by_window_map,
    RING: ring_of_lines,
}
MODULATIONS: Mapping[str, Way] = {  # by Choice.schedule
    "whole images": whole_images,
    KEPT_IMAGE: in_sweeps,
    "channels": by_channels,
    SWEEPS: in_sweeps,
    SWEEPS_IN_PLACE: in_sweeps,
}
OTHERS: Mapping[Movement, Way] = {  # by what the region's last operation does
    "rows": tokenwise,
    "mean": mean,
    "join": concat,
    "pick": gather,
    "view": move,
}


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """What does not depend on choices: the graph, its regions, and an emitter that knows all storage.

    `source` is the graph as given, before selections of columns went into the layers.
    """

    source: Graph
    graph: Graph
    regions: tuple[Region, ...]
    emitter: TaskEmitter
    mode: str

    def fresh(self) -> TaskEmitter:
        """A copy of the emitter whose tables can grow without touching the original's."""
        em = self.emitter
        return TaskEmitter(
            em.graph,
            dict(em.values),
            em.layer_ids,
            leaving=em.leaving,
            buffers=dict(em.buffers),
            constants=dict(em.constants),
            where=dict(em.where),
            tiled=dict(em.tiled),
            keys=em.keys,
        )


def skeleton(graph: Graph, mode: str, like: Skeleton | None = None) -> Skeleton:
    """`like`: of the same network with other attentions, whose regions these are in that order."""
    source, graph = graph, copies_first(split_column_views(graph))
    if like is None:
        graph = in_best_order(graph, mode)
        regions = tuple(cut(graph, split(graph, swept(graph, mode)), mode))
    else:
        regions = tuple(cut_like(graph, split(graph), like.regions))
        graph = _in_order_of(graph, regions)
    names = [op.name for op in graph.ops]
    assert len(set(names)) == len(names), "two operations share a name"
    ids = {op.name: i for i, op in enumerate(op for op in graph.ops if op.kind not in VIEWS)}
    em = TaskEmitter(graph, dict(graph.values), ids, leaving=leaving(graph))
    Storage(em, graph, list(regions), mode).assign()
    return Skeleton(source, graph, regions, em, mode)


def _in_order_of(graph: Graph, regions: Sequence[Region]) -> Graph:
    """The graph itself where its regions run in its own order."""
    places = graph.places()
    ends = [places[region.ops[-1].name] for region in regions]
    if ends == sorted(ends):
        return graph
    ops = {op.name: op for region in regions for op in region.ops}
    return graph.replace(ops=tuple(ops.values()))


def emit_region(em: TaskEmitter, region: Region, choice: Choice) -> Steps:
    """The tasks of one region; `em` gets its buffers."""
    target = em.where.get(region.target) or outlet(em, region.target)
    steps = way_of(em, region, choice)(em, region, target, choice)
    return handed_out(em, region, target, steps) if region.target in em.leaving else steps


def way_of(em: TaskEmitter, region: Region, choice: Choice) -> Way:
    op = region.ops[-1]
    if region.attention is not None:
        return ATTENTIONS[choice.schedule]
    if region.modulates:
        return MODULATIONS[choice.schedule]
    if by_patches(em.graph, op):
        return patches
    if choice.schedule == "patches":
        return patches_of_rows
    if lies_over_image(em, region):
        return over_image
    if region.in_lines:
        return convolve
    return OTHERS.get(INT_OPS[op.kind].movement, tokenwise)
