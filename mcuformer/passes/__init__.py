"""The pipelines: every rewrite, in the order in which it runs, and why it stands there.

A pass is a function Graph -> Graph that computes the same numbers with other operators, and gives the same
object back where it finds nothing. Two lists run: ONNX_PASSES on a file's own nodes, which bring many
spellings to one (norms and activations written out, constants, QDQ pairs), and FLOAT_PASSES on the canonical
graph, which take biases, scales and norms into the layers beside them, split q, k and v, and let a
selection of rows move up, so that the last block computes no row that nobody reads (MCUFormer's operator
integration is what they are together). Rewrites that serve integers alone stand in `quant/rewrites`.

A pass also runs on shapes alone (`Graph.shapes_only`): the search sends thousands of candidates through
here. Constants are made by `edit.py`, which then computes nothing. Notes of what each pass did stand in
meta["notes"], for -v.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mcuformer.ir.graph import Graph
from mcuformer.passes.absorb_affine import absorb_affine
from mcuformer.passes.cancel_terms import cancel_terms
from mcuformer.passes.clip_after_pair import clip_after_pair
from mcuformer.passes.dedupe import dedupe
from mcuformer.passes.drop_qdq import drop_qdq
from mcuformer.passes.drop_softmax import drop_softmax
from mcuformer.passes.factor_norm_scale import factor_norm_scale
from mcuformer.passes.fold_affine import fold_affine
from mcuformer.passes.fold_constants import fold_constants
from mcuformer.passes.fuse_activations import fuse_activations
from mcuformer.passes.fuse_layernorm import fuse_layernorm
from mcuformer.passes.gate_residual import gate_residual
from mcuformer.passes.gather_first import gather_first
from mcuformer.passes.joined_axes import joined_axes
from mcuformer.passes.lift_normalisation import lift_normalisation
from mcuformer.passes.near_patches import near_patches
from mcuformer.passes.note_weight_scales import note_weight_scales
from mcuformer.passes.offset_into_function import offset_into_function
from mcuformer.passes.pointwise_conv import pointwise_conv
from mcuformer.passes.push_slice import push_slice
from mcuformer.passes.scale_into_sum import scale_into_sum
from mcuformer.passes.slopes_of_choice import slopes_of_choice
from mcuformer.passes.split_linear import split_linear
from mcuformer.passes.split_position import split_position
from mcuformer.passes.spread_qdq import spread_qdq
from mcuformer.passes.tidy_names import tidy_names

Pass = Callable[[Graph], Graph]

ONNX_PASSES: tuple[Pass, ...] = (
    note_weight_scales,  # while int8 weights still have them
    fold_constants,  # gives every value its shape
    joined_axes,  # as soon as shapes are known: from here on a Softmax has one axis
    clip_after_pair,  # before drop_qdq, which looks for pairs
    drop_qdq,  # before the fusions, whose chains the pairs interrupt
    factor_norm_scale,  # before fuse_layernorm, which looks for the difference
    fuse_layernorm,  # before activations, which would take its Sqrt apart
    slopes_of_choice,  # before fuse_activations, which takes one slope for a function
    fuse_activations,
)
FLOAT_PASSES: tuple[Pass, ...] = (
    dedupe,  # first: readers are counted below
    drop_softmax,  # a softmax is no move: before all that looks at the readers of logits
    lift_normalisation,  # before the folds, which would take a part of it into the stem
    split_position,  # class token + its position become one constant
    gate_residual,  # before the folds, which would take its constants apart
    cancel_terms,  # while sums are sums: the folds take their constants and factors into layers
    scale_into_sum,  # before fold_affine, which takes the scales in
    fold_affine,  # biases, LayerScale, BatchNorm into the layer before them
    absorb_affine,  # what is left into the layer behind
    offset_into_function,  # after the folds: what no layer takes
    pointwise_conv,  # after the folds: its reshapes would part a layer from the BatchNorm behind it
    split_linear,  # after the folds, which want the whole layer
    fold_affine,  # factors of q, k or v alone
    gather_first,  # after split_linear, so that q, k, v share one gather
    push_slice,
    near_patches,  # after push_slice: a bias that it cut down to one query means no radius
    dedupe,  # push_slice leaves equal selections behind
    spread_qdq,  # when values are final
    tidy_names,  # last: names follow what the operators became
)


def run_onnx_passes(graph: Graph) -> Graph:
    return _run(graph, ONNX_PASSES)


def run_float_passes(graph: Graph) -> Graph:
    return _run(graph, FLOAT_PASSES)


def _run(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """meta["notes"] gains a line for every pass that changed something or says why it did not."""
    notes: tuple[str, ...] = tuple(graph.meta.get("notes", ()))
    for rewrite in passes:
        before, graph = graph, rewrite(graph)
        if graph is before or graph.shapes_only:  # of which nobody reads notes
            continue
        graph = graph.pruned()
        skipped = graph.meta.get("skipped", ())
        line = _note(_kinds(before), _kinds(graph), skipped)
        if line:
            notes += (f"{rewrite.__name__.replace('_', '-')}: {line}",)
        if skipped:
            graph = graph.replace(meta={k: v for k, v in graph.meta.items() if k != "skipped"})
    return graph.replace(meta={**graph.meta, "notes": notes})


def _kinds(graph: Graph) -> Counter[str]:
    return Counter(op.kind for op in graph.ops)


def _note(before: Counter[str], after: Counter[str], skipped: Sequence[str]) -> str:
    kinds = sorted(k for k in before | after if before[k] != after[k])
    parts = [f"{k} {before[k]} to {after[k]}" for k in kinds]
    if skipped:
        shown = "; ".join("".join(c if c.isprintable() else "_" for c in s[:200]) for s in skipped)
        parts.append(f"{len(skipped)} skipped ({shown})")
    return ", ".join(parts)
