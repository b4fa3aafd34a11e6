"""Float-to-float rewrites that quantisation wants, in their one order."""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.average_pool import average_pool
from mcuformer.quant.rewrites.expand_groups import expand_groups
from mcuformer.quant.rewrites.fold_channel_affine import fold_channel_affine
from mcuformer.quant.rewrites.fold_layernorm_affine import fold_layernorm_affine
from mcuformer.quant.rewrites.free_norms import free_norms
from mcuformer.quant.rewrites.fuse_epilogue import fuse_epilogue
from mcuformer.quant.rewrites.patch_embed import patch_embed
from mcuformer.quant.rewrites.push_add_into_concat import push_add_into_concat
from mcuformer.quant.rewrites.push_row_selection import push_row_selection
from mcuformer.quant.rewrites.rotate_stream import rotate_stream
from mcuformer.quant.rewrites.split_linear import split_linear


def prepare(graph: Graph) -> Graph:
    """The graph that is calibrated and lowered: same results, fewer and better places to round.

    Values named in meta["qdq"] have scales from a QDQ model and keep their meaning.
    """
    given = graph.meta.get("qdq", {})
    graph = average_pool(graph)
    graph = expand_groups(graph)
    graph = fold_channel_affine(graph)
    graph = push_add_into_concat(graph)  # before PATCH_EMBED: leaves the add beside the reshape
    graph = patch_embed(graph)
    graph = split_linear(graph)  # before PUSH_ROW_SELECTION, which wants q apart from k and v
    graph = push_row_selection(graph)
    graph = fold_layernorm_affine(graph, given)  # after the pushes: all readers are linear layers
    graph = fuse_epilogue(graph)
    graph = rotate_stream(graph, given)  # after FUSE_EPILOGUE: the residual sums are inputs there
    return free_norms(graph, given)  # last: for the norms whose stream could not be rotated
