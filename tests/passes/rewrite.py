"""Text in, text out: run one pass and compare structure and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_float
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

HEAD = "graph test float\n"


def float_graph(body: str) -> Graph:
    """A canonical graph from its text; the input layout follows from the input's shape."""
    graph = parse_graph(HEAD + body)
    shape = graph.type(graph.inputs[0]).shape
    if len(shape) == 3:
        meta = {"input_layouts": ("NCHW",), "input_shapes": ((1, shape[2], *shape[:2]),)}
    else:
        meta = {"input_layouts": ("tokens",), "input_shapes": ((1, *shape),)}
    return verify(graph.replace(meta={**graph.meta, **meta}))


def apply(rewrite: Callable[[Graph], Graph], graph: Graph, exact: bool = False) -> Graph:
    """The rewritten graph, after checking that it is well-formed and computes the same."""
    after = verify(rewrite(graph))
    shape = graph.meta["input_shapes"][0]
    x = np.random.default_rng(0).standard_normal(math.prod(shape)).astype(np.float32).reshape(shape)
    old, new = run_float(graph, x), run_float(after, x)
    for a, b in zip(graph.outputs, after.outputs, strict=True):
        if exact:
            assert np.array_equal(old[a], new[b])
        else:
            np.testing.assert_allclose(old[a], new[b], rtol=2e-5, atol=2e-5)
    return after


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]
