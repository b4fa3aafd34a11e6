"""conv2d with a 1x1 kernel, stride 1, no padding, one group -> linear on [H*W, C]. Exact."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit


def pointwise_conv(graph: Graph) -> Graph:
    if not graph.has("conv2d"):
        return graph
    edit = Edit(graph)
    for op in graph.ops:
        if op.kind == "conv2d" and _is_pointwise(graph, op):
            edit.ops.extend(_as_linear(edit, op))
        else:
            edit.ops.append(op)
    return edit.done()


def _is_pointwise(graph: Graph, op: Op) -> bool:
    w = graph.type(str(op.inputs[1])).shape
    plain = op.attrs["group"] == 1 and set(op.attrs["strides"]) == {1}
    return w[:2] == (1, 1) and plain and not any(op.attrs["pads"])


def _as_linear(edit: Edit, op: Op) -> list[Op]:
    x, w = str(op.inputs[0]), edit.data(op.inputs[1])
    assert w is not None
    height, width, channels = edit.values[x].type.shape
    rows = edit.activation(f"{op.name}.rows", (height * width, channels), x)
    made = edit.activation(f"{op.name}.linear", (height * width, w.shape[3]), op.outputs[0])
    weights = edit.const(f"{op.name}.w", w.shape[2:], lambda: w[0, 0])
    edit.scales(op.inputs[1], weights, lambda s: s)
    shape = edit.values[op.outputs[0]].type.shape
    return [
        Op(
            "reshape",
            f"{op.name}.rows",
            (x,),
            (rows,),
            {"shape": (height * width, channels)},
            op.origin,
        ),
        Op("linear", op.name, (rows, weights, *op.inputs[2:]), (made,), {}, op.origin),
        Op("reshape", f"{op.name}.image", (made,), op.outputs, {"shape": shape}, op.origin),
    ]
