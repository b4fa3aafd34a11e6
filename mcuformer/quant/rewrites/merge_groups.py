"""conv2d with groups of fewer than 4 output channels -> fewer groups, with zeros between what was apart."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.grouped import is_depthwise
from mcuformer.quant.rewrites.edit import Rewrite

_BLOCK = 4  # output channels that kernels compute together, and to which a group is padded in flash


def merge_groups(graph: Graph) -> Graph:
    """conv2d(x, w[kh,kw,Ci/g,Co], group=g) -> conv2d(x, w'[kh,kw,m*Ci/g,Co], group=g/m), where m groups
    fill one block together. No more flash, and 1/m of the patches to gather."""
    if not graph.has("conv2d"):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        merged = _merged(graph, op)
        if merged == 1:
            edit.keep(op)
            continue
        w = graph.const(op.inputs[1])
        assert w is not None
        kh, kw, cg, co = w.shape
        data = partial(_blocks, w, op.attrs["group"], merged)
        wide = edit.const(f"{op.name}.merged", (kh, kw, cg * merged, co), data)
        attrs = {**op.attrs, "group": op.attrs["group"] // merged}
        edit.emit(op, [op.inputs[0], wide, *op.inputs[2:]], attrs=attrs)
    return edit.done()


def _merged(graph: Graph, op: Op) -> int:
    """How many neighbouring groups become one."""
    group = op.attrs.get("group", 1) if op.kind == "conv2d" else 1
    if group == 1 or is_depthwise(graph, op):
        return 1
    outputs = graph.type(str(op.inputs[1])).shape[-1] // group
    return max(
        m for m in range(1, _BLOCK + 1) if m == 1 or (group % m == 0 and m * outputs <= _BLOCK)
    )


def _blocks(w: NDArray, group: int, merged: int) -> NDArray:
    kh, kw, cg, co = w.shape
    wide = np.zeros((kh, kw, merged, cg, co), w.dtype)
    for channel in range(co):
        wide[:, :, channel * group // co % merged, :, channel] = w[..., channel]
    return wide.reshape(kh, kw, merged * cg, co)
