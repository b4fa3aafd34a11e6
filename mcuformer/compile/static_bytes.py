"""SRAM beside arena and stack, before anything is linked."""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.operators.outline import times
from mcuformer.operators.table import kinds

PORT_STATE_BYTES = 56  # serial port and profile, as linked


def static_estimate(graph: Graph) -> int:
    """.data and .bss of the port, of an int graph or outline: a cycle count per layer, and its state."""
    views = kinds("view")
    counts = 4 * sum(times(graph, op) for op in graph.ops if op.kind not in views)
    return -(-counts // 8) * 8 + PORT_STATE_BYTES
