"""What the grids of an integer graph can hold: the float graph with every value rounded onto them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.operators.line_outputs import LineOrder, in_file_order, orders
from mcuformer.package.outputs import gives_index
from mcuformer.proof.layers import rounded_outputs
from mcuformer.validate.metrics import sqnr_db

LESS_DB = 2.0
STRETCHES = (1.0, 1.02, 1.04, 1.06, 1.08)  # steps of weights: few weights are rounded by luck
CEILING_DB = 45.0  # tables and multipliers have 12 to 16 bits whatever the grid (proof/layers.py)


def shortfalls(
    prepared: Graph, graph: Graph, inputs: Sequence[NDArray], values: Mapping[str, NDArray],
    wanted: Sequence[NDArray],
) -> dict[str, str]:  # fmt: skip
    """One sentence for each output that has more than 2 dB less than every simulation, against `wanted`."""
    found: dict[str, str] = {}
    for stretch in STRETCHES:
        simulated = rounded_outputs(prepared, graph, inputs, stretch)
        rows = zip(graph.outputs, orders(graph), simulated, wanted, strict=True)
        short = {
            name: text for name, order, y, reference in rows
            if not gives_index(graph, name)
            and (text := _short(graph, name, order, values, y, reference))
        }  # fmt: skip
        found = short if stretch == 1.0 else {n: t for n, t in found.items() if n in short}
        if not found:
            break
    return found


def _short(
    graph: Graph, name: str, order: LineOrder | None, values: Mapping[str, NDArray],
    simulated: NDArray, reference: NDArray,
) -> str | None:  # fmt: skip
    """What is to be said of an output that falls short of its simulation."""
    type_ = graph.type(name)
    assert type_.qparams is not None
    reals = in_file_order(order, type_.qparams.dequantise(values[name]), len(type_.shape))
    got = _db(reference, reals)
    can = min(CEILING_DB, _db(reference, simulated))
    if got >= can - LESS_DB:
        return None
    return f"{name} has {got:.1f} dB, a simulation on its grids {can:.1f} dB"


def _db(reference: NDArray, got: NDArray) -> float:
    found = sqnr_db(reference, got.reshape(reference.shape))
    return np.inf if found is None else found
