"""conv2d with several groups, but not one per channel -> dense conv2d with zeros between them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.edit import Rewrite


def is_depthwise(graph: Graph, group: int, weight: str) -> bool:
    cg, co = graph.type(weight).shape[2:]
    return cg == 1 and group == co


def expand_groups(graph: Graph) -> Graph:
    """conv2d(x, w[kh,kw,Ci/g,Co], group=g) -> conv2d(x, w'[kh,kw,Ci,Co]), w' block-diagonal."""
    if not graph.has("conv2d"):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        group = op.attrs.get("group", 1)
        if op.kind != "conv2d" or group == 1 or is_depthwise(graph, group, str(op.inputs[1])):
            edit.keep(op)
            continue
        w = graph.const(op.inputs[1])
        assert w is not None
        kh, kw, cg, co = w.shape
        shape = (kh, kw, cg * group, co)
        dense = edit.const(f"{op.name}.dense", shape, partial(_dense, w, group))
        edit.emit(op, [op.inputs[0], dense, *op.inputs[2:]], attrs={**op.attrs, "group": 1})
    return edit.done()


def _dense(w: NDArray, group: int) -> NDArray:
    kh, kw, cg, co = w.shape
    dense = np.zeros((kh, kw, cg * group, co), w.dtype)
    for g in range(group):
        out = slice(g * co // group, (g + 1) * co // group)
        dense[:, :, g * cg : (g + 1) * cg, out] = w[..., out]
    return dense
