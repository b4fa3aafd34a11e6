"""Raw pixels: which readers of an input take mean and std in, and a grid of their own for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.types import Value
from mcuformer.operators.table import JOINED, MOVES, WEIGHTED
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.classes import changes_channels

_MOVES = MOVES - JOINED


def takes_pixels(graph: Graph, name: str) -> bool:
    """Whether only layers with weights per channel read the input or the largest of its pixels:
    mean and std go into them."""
    return name not in graph.outputs and all(_takes(graph, r) for r in graph.consumers()[name])


def _takes(graph: Graph, reader: Op) -> bool:
    if reader.kind in _MOVES:
        return not changes_channels(graph, reader) and takes_pixels(graph, reader.outputs[0])
    return reader.kind in WEIGHTED


def regrid_pixels(stats: CalibrationStats, names: Sequence[str]) -> CalibrationStats:
    """`regridded` with the statistics of the values that it adds."""
    graph, sources = regridded(stats.graph, names)
    values = {**stats.values, **{real: stats.values[name] for real, name in sources.items()}}
    return replace(stats, graph=graph, values=values)


def regridded(graph: Graph, names: Sequence[str]) -> tuple[Graph, dict[str, str]]:
    """f(x) -> f(requant(x)) for the raw inputs `names` and all that reads them but cannot take them;
    the new values, and the inputs that they hold."""
    sources: dict[str, str] = {}
    for name in names:
        if not takes_pixels(graph, name):
            graph, real = _regridded(graph, name)
            sources[real] = name
    return graph, sources


def _regridded(graph: Graph, name: str) -> tuple[Graph, str]:
    real = fresh_name(f"{name}.real", graph.values, tried={})
    others = {op.name for op in graph.consumers()[name] if not _takes(graph, op)}
    ops = [Op("requant", real, (name,), (real,))]
    for op in graph.ops:
        inputs = tuple(real if n == name else n for n in op.inputs)
        ops.append(op.replace(inputs=inputs) if op.name in others else op)
    values = {**graph.values, real: Value(real, graph.type(name))}
    outputs = tuple(real if n == name else n for n in graph.outputs)
    return graph.replace(ops=tuple(ops), values=values, outputs=outputs), real
