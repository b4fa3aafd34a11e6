"""Float-to-float rewrites that quantisation wants, in their one order: `prepare`.

They stand behind `mcuformer.passes`, which already folded biases and scales, split q, k and v, and
moved selections of rows up. Those passes hold for any use of the graph; these depend on what
integers and kernels can do.

Some bring operators to what has a kernel: a pool without padding is a depthwise convolution, groups
of few outputs are computed together, a patch embedding writes rows. Some make places to round fewer: the
residual sum and the activation go into the layer before them (`fuse_epilogue`). Some make them better:
the residual stream is rotated so that no channel stands out (`rotate_stream`), or norms get an output scale
per channel (`free_norms`), and gamma goes into the layer behind. All keep the results up to float rounding,
and what a QDQ file says of a value's grid; `edit.py` is what every one walks with.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcuformer.ir.finite import FOLDED, check_finite
from mcuformer.ir.graph import Graph
from mcuformer.passes.dedupe import dedupe
from mcuformer.quant.rewrites.add_before_reshape import add_before_reshape
from mcuformer.quant.rewrites.affine_rows import affine_rows
from mcuformer.quant.rewrites.average_pool import average_pool
from mcuformer.quant.rewrites.columns_first import columns_first
from mcuformer.quant.rewrites.finish_rows import finish_rows
from mcuformer.quant.rewrites.fold_layernorm_affine import fold_layernorm_affine
from mcuformer.quant.rewrites.free_norms import free_norms
from mcuformer.quant.rewrites.fuse_epilogue import fuse_epilogue
from mcuformer.quant.rewrites.merge_groups import merge_groups
from mcuformer.quant.rewrites.nearest_lines import nearest_lines
from mcuformer.quant.rewrites.norm_after_selection import norm_after_selection
from mcuformer.quant.rewrites.own_outputs import own_outputs
from mcuformer.quant.rewrites.patch_embed import patch_embed
from mcuformer.quant.rewrites.regrid_parts import regrid_parts
from mcuformer.quant.rewrites.rotate_stream import rotate_stream
from mcuformer.quant.rewrites.stay_in_windows import stay_in_windows


def prepare(graph: Graph) -> Graph:
    """The graph that is calibrated and lowered: same results, fewer and better places to round.

    Values named in meta["qdq"] have scales from a QDQ model and keep their meaning.
    """
    with np.errstate(all="ignore"):
        prepared = _rewritten(graph, graph.meta.get("qdq", {}))
    return check_finite(prepared, FOLDED)


def _rewritten(graph: Graph, given: Mapping[str, tuple[float, int, str]]) -> Graph:
    graph = average_pool(graph)
    graph = nearest_lines(graph)
    graph = merge_groups(graph)
    graph = regrid_parts(graph)
    graph = patch_embed(graph)
    graph = add_before_reshape(graph)  # after PATCH_EMBED, which writes rows itself
    graph = finish_rows(graph)
    graph = dedupe(norm_after_selection(graph))  # one selection of the stream for its readers
    graph = stay_in_windows(graph)  # before FUSE_EPILOGUE, which takes the residual sums in
    graph = fold_layernorm_affine(graph, given)
    graph = fuse_epilogue(graph)
    graph = affine_rows(graph, given)  # what no layer has taken in
    graph = rotate_stream(graph, given)  # after FUSE_EPILOGUE: the residual sums are inputs there
    graph = free_norms(graph, given)  # for the norms whose stream could not be rotated
    graph = columns_first(graph)  # moves alone: grids stay as they are
    return own_outputs(graph)  # last: the others ask who else reads a value
