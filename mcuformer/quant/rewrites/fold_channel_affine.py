"""mul or add of a constant per channel behind a linear or conv2d -> into its weights and bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Edit


def _channel_const(graph: Graph, op: Op) -> tuple[str, NDArray] | None:
    """(activation, constant[C]) of an add or mul with one constant per channel."""
    for x, c in ((op.inputs[0], op.inputs[1]), (op.inputs[1], op.inputs[0])):
        data = graph.const(c)
        width = graph.type(op.outputs[0]).shape[-1]
        if data is not None and graph.const(x) is None and data.size in (1, width):
            return str(x), np.broadcast_to(data.reshape(-1), (width,)).astype(np.float32)
    return None


def fold_channel_affine(graph: Graph) -> Graph:
    """linear(x, w, b) * c -> linear(x, w c, b c);  linear(x, w, b) + c -> linear(x, w, b + c).

    LayerScale and late biases; one pair per walk, so walk until nothing changes.
    """
    while True:
        changed = _fold_once(graph)
        if changed is None:
            return graph
        graph = changed


def _fold_once(graph: Graph) -> Graph | None:
    edit = Edit(graph)
    folded: set[str] = set()
    for op in graph.ops:
        found = _channel_const(graph, op) if op.kind in ("add", "mul") else None
        source = edit.producers.get(found[0]) if found else None
        if (
            found is None or source is None or source.kind not in ("linear", "conv2d")
            or edit.only_reader(found[0]) is None
            or source.outputs[0] in folded
        ):
            edit.keep(op)
            continue
        folded.add(source.outputs[0])
        _emit_folded(edit, op, source, found[1])
    return edit.done() if folded else None


def _emit_folded(edit: Edit, op: Op, source: Op, c: NDArray) -> None:
    """`source` with the constant inside, writing what `op` wrote."""
    w = edit.graph.const(source.inputs[1])
    b = edit.graph.const(source.inputs[2]) if len(source.inputs) > 2 else None
    assert w is not None
    bias = np.zeros(w.shape[-1], np.float32) if b is None else b
    w, bias = (w * c, bias * c) if op.kind == "mul" else (w, bias + c)
    inputs = [source.inputs[0], edit.const(f"{source.name}.weight", w.astype(np.float32)),
              edit.const(f"{source.name}.bias", bias.astype(np.float32))]
    edit.emit(source, inputs, outputs=op.outputs, origin=source.origin + op.origin)
