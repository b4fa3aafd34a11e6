"""slice(linear(x, w, b), channels a..z) -> linear(x, w[:, a..z], b[a..z]). Exact.

q, k and v become layers of their own. Only where every reader of the layer is such a slice and no
channel is computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit


def split_linear(graph: Graph) -> Graph:
    readers = graph.consumers()
    layers = {op.outputs[0]: op for op in graph.ops if _splits(graph, readers, op)}
    if not layers:
        return graph
    edit = Edit(graph)
    for op in graph.ops:
        layer = layers.get(op.inputs[0] or "") if op.kind == "slice" else None
        edit.ops.append(op if layer is None else _part(edit, layer, op))
    return edit.done()


def _splits(graph: Graph, readers: Mapping[str, Sequence[Op]], op: Op) -> bool:
    if op.kind != "linear" or op.outputs[0] in graph.outputs:
        return False
    users = readers[op.outputs[0]]
    if not users or any(u.kind != "slice" or u.attrs["axis"] != 1 for u in users):
        return False
    width = sum(u.attrs["stop"] - u.attrs["start"] for u in users)
    return width <= graph.type(op.outputs[0]).shape[1]


def _part(edit: Edit, layer: Op, cut: Op) -> Op:
    chosen = slice(cut.attrs["start"], cut.attrs["stop"])
    w, b = edit.data(layer.operand(1)), edit.data(layer.operand(2))
    assert w is not None
    name = cut.name.removesuffix(".channels")
    width = chosen.stop - chosen.start
    inputs = [layer.inputs[0], edit.const(f"{name}.w", (len(w), width), lambda: w[:, chosen])]
    edit.scales(layer.operand(1), str(inputs[1]), lambda s: s[chosen])
    edit.share(layer.outputs[0], cut.outputs[0])
    if b is not None:
        inputs.append(edit.const(f"{name}.b", (width,), lambda: b[chosen]))
    origin = tuple(dict.fromkeys((*layer.origin, *cut.origin)))
    return Op("linear", name, tuple(inputs), cut.outputs, {}, origin)
