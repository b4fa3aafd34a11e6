"""gather(linear(x)) -> linear(gather(x)) where nothing else reads the layer. Exact.

Windows are then cut once, before q, k and v, not three times behind them.
"""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, uses


def gather_first(graph: Graph) -> Graph:
    if not graph.has("gather"):
        return graph
    edit, reads, made = Edit(graph), uses(graph), graph.producers()
    moved = {}
    for op in graph.ops:
        layer = made.get(op.inputs[0] or "") if op.kind == "gather" else None
        if layer is not None and layer.kind == "linear" and reads[layer.outputs[0]] == 1:
            moved[layer.outputs[0]] = op
    dropped = {op.outputs[0] for op in moved.values()}
    for op in graph.ops:
        if op.outputs[0] in moved:
            edit.ops.extend(_swapped(edit, op, moved[op.outputs[0]]))
        elif op.outputs[0] not in dropped:
            edit.ops.append(op)
    return edit.done()


def _swapped(edit: Edit, layer: Op, gather: Op) -> tuple[Op, Op]:
    x = str(layer.inputs[0])
    rows = (len(gather.attrs["indices"]), edit.values[x].type.shape[1])
    picked = edit.activation(f"{x}.rows", rows, x)
    edit.share(layer.outputs[0], gather.outputs[0])
    return (
        gather.replace(inputs=(x,), outputs=(picked,)),
        layer.replace(inputs=(picked, *layer.inputs[1:]), outputs=gather.outputs),
    )
