"""Which canonical operations have an integer form: asked before anything is measured."""

from __future__ import annotations

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kinds, refusal

_VIEWS = kinds("view")


def check_supported(graph: Graph) -> Graph:
    """`graph`; every operation that cannot be lowered, in one UnsupportedModelError."""
    if all(op.kind in _VIEWS for op in graph.ops):
        names = ", ".join(graph.meta.get("output_names", graph.outputs))
        raise UnsupportedModelError(
            f"the model computes nothing: its outputs ({names}) only select from its inputs"
        )
    problems = [
        f"{op.kind} {_where(op)}: {reason}" for op in graph.ops if (reason := refusal(graph, op))
    ]
    if problems:
        raise UnsupportedModelError(
            "operators that have no integer form:\n  " + "\n  ".join(problems),
            "`mcuformer ops` lists what can be compiled",
        )
    return graph


def _where(op: Op) -> str:
    return f"{op.name} ({', '.join(op.origin)})" if op.origin else op.name
