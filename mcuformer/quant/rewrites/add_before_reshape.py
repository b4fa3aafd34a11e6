"""Positions are added to the convolution's image, not to its tokens."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.quant.rewrites.edit import Rewrite


def add_before_reshape(graph: Graph) -> Graph:
    """add(reshape(conv2d(x)), const[T, C]) -> reshape(add(conv2d(x), const[H, W, C])).

    The convolution then adds them before it rounds.
    """
    if not (graph.has("conv2d") and graph.has("reshape")):
        return graph
    edit = Rewrite(graph)
    moved: dict[str, tuple[Op, Op]] = {}
    for op in graph.ops:
        source = edit.producers.get(str(op.inputs[0])) if op.kind == "add" else None
        if source is not None and graph.const(op.inputs[1]) is not None and _fits(edit, source):
            moved[source.outputs[0]] = (op, source)
    for op in graph.ops:
        if op.outputs[0] in moved:
            continue
        if op.kind == "add" and op.inputs[0] in moved:
            _swap(edit, *moved[str(op.inputs[0])])
        else:
            edit.keep(op)
    return edit.done()


def _fits(edit: Rewrite, reshape: Op) -> bool:
    """A reshape of a convolution's image to rows that only the sum reads."""
    conv = edit.producers.get(str(reshape.inputs[0])) if reshape.kind == "reshape" else None
    if conv is None or conv.kind != "conv2d" or edit.only_reader(reshape.outputs[0]) is None:
        return False
    image, rows = (edit.graph.type(n).shape for n in (conv.outputs[0], reshape.outputs[0]))
    return edit.only_reader(conv.outputs[0]) is not None and image[-1] == rows[-1]


def _swap(edit: Rewrite, add: Op, reshape: Op) -> None:
    graph = edit.graph
    image = graph.type(str(reshape.inputs[0])).shape
    data = graph.const(add.inputs[1])
    assert data is not None
    rows = np.broadcast_to(data, graph.type(add.outputs[0]).shape)
    const = edit.const(
        f"{add.inputs[1]}.image", image, lambda: np.ascontiguousarray(rows.reshape(image))
    )
    total = edit.b.add_value(f"{add.name}.image", TensorType(image, "float32"))
    edit.emit(add, [reshape.inputs[0], const], outputs=(total,), name=total)
    edit.emit(reshape, [total], outputs=add.outputs, origin=reshape.origin)
