"""Multiply-accumulates and weight bytes of an int-graph operation."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import INT_OPS, operand


def op_macs(graph: Graph, op: Op) -> int:
    return INT_OPS[op.kind].macs(op, graph.type)


def op_weight_bits(op: Op) -> int:
    """4 or 8 for an operation with a weight matrix, else 0."""
    return int(op.attrs.get("weight_bits", 8)) if INT_OPS[op.kind].weights else 0


def op_weight_bytes(graph: Graph, op: Op) -> int:
    """Bytes of the weight matrix at its bits, without the padding of the packer."""
    counted = INT_OPS[op.kind].counted
    name = None if counted is None else operand(op, counted)
    if name is None or not graph.values[name].is_const:
        return 0
    return -(-graph.type(name).size_bytes * (op_weight_bits(op) or 8) // 8)
