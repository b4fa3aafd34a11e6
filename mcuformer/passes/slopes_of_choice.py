"""Where(x > 0, x, x*s) -> PRelu(x, s) for constant slopes s, one or many.

With one slope `fuse_activations` finds it in any spelling; this finds a slope per channel.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.ir.graph import Graph, Op

_ABOVE: Mapping[str, bool] = {
    "Greater": True,
    "GreaterOrEqual": True,
    "Less": False,
    "LessOrEqual": False,
}


def slopes_of_choice(graph: Graph) -> Graph:
    if "qdq" in graph.meta or not graph.has("Where"):
        return graph
    made = graph.producers()
    ops = tuple(_chosen(graph, made, op) for op in graph.ops)
    same = all(a is b for a, b in zip(ops, graph.ops, strict=True))
    return graph if same else graph.replace(ops=ops).pruned()


def _chosen(graph: Graph, made: Mapping[str, Op], op: Op) -> Op:
    """`op` as a PRelu where it is one."""
    if op.kind != "Where" or "error" in op.attrs or len(op.inputs) != 3:
        return op
    test, a, b = (str(i) for i in op.inputs)
    found, turned = made.get(test), False
    while found is not None and found.kind == "Not" and "error" not in found.attrs:
        found, turned = made.get(str(found.inputs[0])), not turned
    if found is None or found.kind not in _ABOVE or "error" in found.attrs:
        return op
    x, limit = str(found.inputs[0]), graph.const(found.inputs[1])
    if limit is None:  # 0 < x
        x, limit, turned = str(found.inputs[1]), graph.const(found.inputs[0]), not turned
    positive, below = (a, b) if _ABOVE[found.kind] != turned else (b, a)
    product = made.get(below)
    if limit is None or limit.any() or positive != x or product is None or product.kind != "Mul":
        return op
    slopes = [n for n in product.inputs if graph.const(n) is not None]
    fits = x in product.inputs and graph.type(x).shape == graph.type(op.outputs[0]).shape
    if len(slopes) != 1 or not fits or "error" in product.attrs:
        return op
    origin = tuple(dict.fromkeys((*found.origin, *product.origin, *op.origin)))
    return op.replace(kind="PRelu", inputs=(x, slopes[0]), attrs={}, origin=origin)
