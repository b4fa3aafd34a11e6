"""argmax(softmax(x)) -> argmax(x): softmax keeps the order of a row."""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.passes.edit import Edit


def drop_softmax(graph: Graph) -> Graph:
    """A softmax that something else reads too stays for its other readers."""
    if not graph.has("argmax"):
        return graph
    edit, made = Edit(graph), graph.producers()
    for op in graph.ops:
        source = made.get(str(op.inputs[0])) if op.kind == "argmax" else None
        if source is not None and source.kind == "softmax":
            op = op.replace(inputs=source.inputs)
        edit.ops.append(op)
    return edit.done()
