"""The probabilities of every attention, from the float graph and from the int graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from numpy.typing import NDArray

from mcuformer.inputs.codec import InputCodec
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.locality.sites import Site, sites, weights
from mcuformer.operators.interpreter import run_op


def of_float(
    graph: Graph, codec: InputCodec, samples: Sequence[NDArray]
) -> Iterator[tuple[Site, NDArray]]:
    """Every attention of a float graph with its probabilities [n, windows, heads, queries, keys]; `samples`:
    per input [n, ...], pixels or floats."""
    found = {site.name: site for site in sites(graph)}
    for op, env in eval_steps(graph, to_canonical(graph, codec.to_float(samples))):
        if op.name in found:
            yield found[op.name], weights(graph, found[op.name], env)


def of_int(
    graph: Graph, codec: InputCodec, samples: Sequence[NDArray]
) -> Iterator[tuple[Site, NDArray]]:
    """The same of an int graph."""
    found = {site.name: site for site in sites(graph)}
    env: dict[str, NDArray] = dict(zip(graph.inputs, codec.to_int(samples), strict=True))
    for op in graph.ops:
        if op.name in found:
            yield found[op.name], weights(graph, found[op.name], env)
        env[op.outputs[0]] = run_op(graph, op, env)
