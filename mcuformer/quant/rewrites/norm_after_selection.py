"""Selected rows are normalised, not normalised rows selected."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import is_row_selection
from mcuformer.quant.rewrites.edit import Rewrite


def norm_after_selection(graph: Graph) -> Graph:
    """select(layernorm(x)) -> layernorm(select(x)), select being a slice or gather of rows.

    Also where other readers want all rows: the norm of a class token costs nothing twice, and the
    norms of all rows need not be kept for it.
    """
    if not graph.has("slice", "gather"):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        norm = edit.producers.get(str(op.inputs[0])) if is_row_selection(op) else None
        if norm is None or norm.kind != "layernorm" or norm.outputs[0] in graph.outputs:
            edit.keep(op)
            continue
        _swap(edit, op, norm)
    return edit.done()


def _swap(edit: Rewrite, op: Op, norm: Op) -> None:
    shape = edit.graph.type(op.outputs[0]).shape
    rows = edit.emit_new(op, [norm.inputs[0]], shape, name=f"{norm.inputs[0]}.rows")
    edit.emit(norm, [rows, *norm.inputs[1:]], name=f"{norm.name}.rows", outputs=op.outputs)
