"""Float-to-float rewrites that quantisation wants, in their one order."""

from __future__ import annotations

from collections.abc import Collection

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.average_pool import average_pool
from mcuformer.quant.rewrites.expand_groups import expand_groups
from mcuformer.quant.rewrites.fold_channel_affine import fold_channel_affine
from mcuformer.quant.rewrites.fold_layernorm_affine import fold_layernorm_affine
from mcuformer.quant.rewrites.fuse_epilogue import fuse_epilogue
from mcuformer.quant.rewrites.patch_embed import patch_embed
from mcuformer.quant.rewrites.push_add_into_concat import push_add_into_concat
from mcuformer.quant.rewrites.push_row_selection import push_row_selection
from mcuformer.quant.rewrites.rotate_stream import rotate_stream
from mcuformer.quant.rewrites.split_linear import split_linear


def prepare(graph: Graph, given: Collection[str] = (), trim: bool = True) -> Graph:
    """The graph that is calibrated and lowered: same results, fewer and better places to round.

    Values named in `given` have scales from a QDQ model and keep their meaning. `trim` computes
    only the rows that the result needs (the class token in the last block).
    """
    graph = average_pool(graph)
    graph = expand_groups(graph)
    graph = fold_channel_affine(graph, given)
    graph = push_add_into_concat(graph)  # before PATCH_EMBED: leaves the add beside the reshape
    graph = patch_embed(graph)
    graph = split_linear(graph)  # before PUSH_ROW_SELECTION, which wants q apart from k and v
    if trim:
        graph = push_row_selection(graph)
    graph = fold_layernorm_affine(graph, given)  # after the pushes: all readers are linear layers
    graph = fuse_epilogue(graph)
    return rotate_stream(graph, given)  # last: the residual sums are inputs of their layers now
