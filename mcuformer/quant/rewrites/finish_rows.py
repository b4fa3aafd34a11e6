"""What follows a 1x1 convolution happens to its rows, not to the image that they become."""

from __future__ import annotations

import math

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.quant.rewrites.edit import Rewrite


def finish_rows(graph: Graph) -> Graph:
    """fn(reshape(linear(x))) -> reshape(fn(linear(x))), of sums too: reshape(add(linear(x), reshape(r))).

    The layer then adds and applies fn before it rounds (`fuse_epilogue`).
    """
    if not (graph.has("linear") and graph.has("reshape")):
        return graph
    edit = Rewrite(graph)
    rows: dict[str, str] = {}  # image that a layer's rows become -> those rows
    for op in graph.ops:
        source = next((str(n) for n in op.inputs if n in rows and _alone(edit, str(n))), None)
        if source is not None and _applies(graph, op, source):
            rows[op.outputs[0]] = _finished(edit, op, source, rows)
        else:
            edit.keep(op)
            if op.kind == "reshape" and _unfolds(edit, op):
                rows[op.outputs[0]] = str(op.inputs[0])
    return edit.done()


def _alone(edit: Rewrite, image: str) -> bool:
    return edit.only_reader(image) is not None


def _unfolds(edit: Rewrite, reshape: Op) -> bool:
    """A layer's rows [T, C], which nothing else reads, become an image [H, W, C]."""
    made = edit.producers.get(str(reshape.inputs[0]))
    if made is None or made.kind != "linear" or edit.only_reader(made.outputs[0]) is None:
        return False
    rows, image = (edit.graph.type(n).shape for n in (made.outputs[0], reshape.outputs[0]))
    return rows[-1] == image[-1] and len(image) == 3


def _applies(graph: Graph, op: Op, source: str) -> bool:
    """A function of one number, or a sum with as many or with a constant."""
    if op.kind == "unary":
        return True
    image = graph.type(source).shape
    others = [n for n in op.inputs if n != source]
    return (
        op.kind == "add"
        and len(others) == 1
        and (graph.const(others[0]) is not None or graph.type(str(others[0])).shape == image)
    )


def _finished(edit: Rewrite, op: Op, source: str, rows: dict[str, str]) -> str:
    """`op` on rows, which become its image; returns the rows."""
    channels = edit.graph.type(source).shape[-1]
    shape = edit.graph.type(op.outputs[0]).shape
    flat = (math.prod(shape[:-1]), channels)
    inputs: list[str | None] = [
        rows.get(str(n)) or _flat(edit, op, str(n), shape, flat) for n in op.inputs
    ]
    made = edit.emit_new(op, inputs, flat, name=f"{op.name}.rows")
    edit.keep(Op("reshape", f"{op.name}.image", (made,), op.outputs, {"shape": shape}, op.origin))
    return made


def _flat(edit: Rewrite, op: Op, name: str, shape: tuple[int, ...], flat: tuple[int, ...]) -> str:
    """The other term of a sum."""
    data = edit.graph.const(name)
    if data is not None and data.ndim < 2:
        return name
    if data is not None:
        whole = np.broadcast_to(data, shape)
        return edit.const(f"{name}.rows", flat, lambda: np.ascontiguousarray(whole.reshape(flat)))
    out = edit.b.add_value(f"{op.name}.term", TensorType(flat, "float32"))
    edit.keep(Op("reshape", out, (name,), (out,), {"shape": flat}, op.origin))
    return out
