"""The pipelines: every rewrite, in the order in which it runs, and why it stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcuformer.ir.graph import Graph
from mcuformer.passes.fold_constants import fold_constants
from mcuformer.passes.fuse_activations import fuse_activations
from mcuformer.passes.fuse_layernorm import fuse_layernorm

Pass = Callable[[Graph], Graph]

ONNX_PASSES: tuple[Pass, ...] = (
    fold_constants,  # first: gives every value its shape
    fuse_layernorm,  # before activations, which would take its Sqrt apart
    fuse_activations,
)
FLOAT_PASSES: tuple[Pass, ...] = ()


def run_onnx_passes(graph: Graph) -> Graph:
    return _run(graph, ONNX_PASSES)


def run_float_passes(graph: Graph) -> Graph:
    return _run(graph, FLOAT_PASSES)


def _run(graph: Graph, passes: Sequence[Pass]) -> Graph:
    for rewrite in passes:
        graph = rewrite(graph).pruned()
    return graph
