"""(a + b) * s -> a * s + b * s for a constant s and linear layers a, b: averaged heads."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, uses


def scale_into_sum(graph: Graph) -> Graph:
    if not graph.has("mul"):
        return graph
    edit, reads, made = Edit(graph), uses(graph), graph.producers()
    for op in graph.ops:
        total = made.get(op.inputs[0] or "") if op.kind == "mul" else None
        scale = graph.const(op.inputs[1]) if total is not None else None
        if total is None or scale is None or not _takes_it(edit, total, made, reads):
            edit.ops.append(op)
            continue
        parts = []
        for term in total.inputs:
            shape = edit.values[str(term)].type.shape
            part = edit.activation(f"{term}.scaled", shape)
            edit.rescaled(str(term), part, scale)
            edit.ops.append(
                Op("mul", f"{total.name}.scaled", (term, op.inputs[1]), (part,), {}, op.origin)
            )
            parts.append(part)
        edit.rescaled(total.outputs[0], op.outputs[0], scale)
        edit.ops.append(total.replace(inputs=tuple(parts), outputs=op.outputs))
    return edit.done()


def _takes_it(edit: Edit, total: Op, made: Mapping[str, Op], reads: dict[str, int]) -> bool:
    if total.kind != "add" or reads[total.outputs[0]] != 1:
        return False
    shapes = {edit.values[str(n)].type.shape for n in (*total.inputs, *total.outputs)}
    if len(shapes) > 1:  # one number per row has no channels to scale
        return False
    terms = [made.get(i or "") for i in total.inputs]
    return all(t is not None and t.kind == "linear" and reads[t.outputs[0]] == 1 for t in terms)
