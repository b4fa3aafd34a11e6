"""Epilogues: a linear layer or convolution adds the residual or applies fn before it stores."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.ir.functions import ends
from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import WEIGHTED
from mcuformer.quant.classes import value_classes
from mcuformer.quant.rewrites.edit import Rewrite

PRODUCERS = WEIGHTED


def fuse_epilogue(graph: Graph) -> Graph:
    """add(linear(x, w, b), r) -> linear(x, w, b, r);  fn(linear(x, w, b)) -> linear(x, w, b) fn=fn.

    Where nothing else reads the sum. A linear layer then has the inputs (x, w, b|None, r|None)
    and the attribute `fn` (None without). r is an activation or a constant of rows. A ReLU follows
    the residual sum, too, where the ends of the type are all it needs.
    """
    edit, classes = Rewrite(graph), value_classes(graph)
    fused: dict[str, Op] = {}  # intermediate value -> its producer, not yet emitted
    for op in graph.ops:
        if op.kind in PRODUCERS:
            op = op.replace(inputs=(*op.inputs, None, None)[:4], attrs={**op.attrs, "fn": None})
            if _absorber(edit, op) is not None:
                fused[op.outputs[0]] = op
                continue
        source = next((fused[n] for n in op.inputs if n in fused), None)
        if source is None:
            edit.keep(op)
            continue
        inputs, attrs = list(source.inputs), dict(source.attrs)
        if op.kind == "add":
            inputs[3] = next(n for n in op.inputs if n != source.outputs[0])
        else:
            attrs["fn"] = op.attrs["fn"]
        origin = source.origin + op.origin
        whole = source.replace(inputs=tuple(inputs), attrs=attrs, outputs=op.outputs, origin=origin)
        if op.kind == "add" and _saturates(edit, edit.only_reader(op.outputs[0]), classes):
            fused[op.outputs[0]] = whole
        else:
            edit.keep(whole)
    return edit.done()


def _saturates(edit: Rewrite, reader: Op | None, classes: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether it is a ReLU whose grid can end at 0: all that share it are numbers of ReLUs."""
    if reader is None or reader.attrs.get("fn") != "relu":
        return False
    made = [edit.producers.get(n) for n in classes[reader.outputs[0]]]
    return all(op is not None and _keeps_sign(op) for op in made)


def _keeps_sign(op: Op) -> bool:
    return op.attrs.get("fn") == "relu" or op.kind in ("reshape", "maxpool", "slice", "gather")


def _absorber(edit: Rewrite, op: Op) -> Op | None:
    """The add or unary that `op` can take over; of two layers in one sum, the later takes it."""
    reader = edit.only_reader(op.outputs[0])
    if reader is None or reader.kind not in ("add", "unary"):
        return None
    if reader.kind == "unary":
        return reader if ends(reader.attrs["fn"]) else None
    other = next((n for n in reader.inputs if n != op.outputs[0]), None)
    if other is None or _row_shape(edit.graph, other) != _row_shape(edit.graph, op.outputs[0]):
        return None
    rival = edit.producers.get(other)
    if rival is not None and rival.kind in PRODUCERS and edit.only_reader(other) is not None:
        order = [o.outputs[0] for o in edit.graph.ops]
        return reader if order.index(op.outputs[0]) > order.index(other) else None
    return reader


def _row_shape(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.type(name).shape
