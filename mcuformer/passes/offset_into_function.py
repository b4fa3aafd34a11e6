"""hardswish(x) + c -> hardswish_plus(c)(x) for one number c: the table of the function has it.

PP-LCNetV3 has a learnable factor and offset behind each activation. The factor goes into the layers that
read it; the offset cannot where they pad with zeros, and a sum of its own would round once more.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.ir.functions import named
from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, is_uniform

_WITH_OFFSET = (("hardswish", "hardswish_plus"),)


def offset_into_function(graph: Graph) -> Graph:
    """Where nothing else reads the function, and no QDQ pair says what its grid is."""
    if graph.shapes_only or not (graph.has("unary") and graph.has("add")):
        return graph
    edit, made, readers = Edit(graph), graph.producers(), graph.consumers()
    given = graph.meta.get("qdq", {})
    for op in graph.ops:
        found = _function_and_offset(graph, op, made) if op.kind == "add" else None
        if found is not None:
            before, fn = found
            value = before.outputs[0]
            if len(readers[value]) == 1 and value not in graph.outputs and value not in given:
                origin = (*before.origin, *op.origin)
                op = before.replace(outputs=op.outputs, attrs={"fn": fn}, origin=origin)
        edit.ops.append(op)
    return edit.done()


def _function_and_offset(graph: Graph, op: Op, made: Mapping[str, Op]) -> tuple[Op, str] | None:
    """What makes the activation of a sum with one number, and its name with that number."""
    for x, c in (op.inputs, op.inputs[::-1]):
        const, before = graph.const(c), made.get(str(x))
        if const is None or before is None or before.kind != "unary" or not is_uniform(const):
            continue
        if graph.type(str(x)).shape != graph.type(op.outputs[0]).shape:
            continue
        for name, shifted in _WITH_OFFSET:
            if before.attrs["fn"] == name:
                return before, named(shifted, float(const.reshape(-1)[0]))
    return None
