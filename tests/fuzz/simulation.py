"""What the grids of an integer graph can hold: the float graph with every value rounded onto them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.outputs import gives_index
from mcuformer.proof.layers import rounded_outputs
from mcuformer.validate.metrics import sqnr_db

LESS_DB = 2.0
CEILING_DB = 45.0  # tables and multipliers have 12 to 16 bits whatever the grid (proof/layers.py)


def shortfalls(
    prepared: Graph, graph: Graph, inputs: Sequence[NDArray], values: Mapping[str, NDArray],
    wanted: Sequence[NDArray],
) -> list[str]:  # fmt: skip
    """One sentence per output that has more than 2 dB less than its simulation, against `wanted`."""
    found = []
    simulated = rounded_outputs(prepared, graph, inputs)
    for name, least, reference in zip(graph.outputs, simulated, wanted, strict=True):
        if gives_index(graph, name):
            continue
        qparams = graph.type(name).qparams
        assert qparams is not None
        got = _db(reference, qparams.dequantise(values[name]))
        can = min(CEILING_DB, _db(reference, least))
        if got < can - LESS_DB:
            found.append(f"{name} has {got:.1f} dB, a simulation on its grids {can:.1f} dB")
    return found


def _db(reference: NDArray, got: NDArray) -> float:
    found = sqnr_db(reference, got.reshape(reference.shape))
    return np.inf if found is None else found
