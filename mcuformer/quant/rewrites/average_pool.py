"""avgpool(x) without padding -> depthwise conv2d(x, 1/n)."""

from __future__ import annotations

from functools import partial

import numpy as np

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.edit import Rewrite


def average_pool(graph: Graph) -> Graph:
    """avgpool(x, kh x kw, no pads) -> conv2d(x, w = 1/(kh kw), group = channels).

    With pads the divisor depends on the place: such a pool stays (q_avgpool).
    """
    if not graph.has("avgpool"):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        if op.kind != "avgpool" or any(op.attrs["pads"]):
            edit.keep(op)
            continue
        kh, kw = op.attrs["kernel"]
        c = graph.type(str(op.inputs[0])).shape[-1]
        shape = (kh, kw, 1, c)
        w = edit.const(f"{op.name}.weight", shape, partial(np.full, shape, 1.0 / (kh * kw)))
        attrs = {"strides": op.attrs["strides"], "pads": op.attrs["pads"], "group": c}
        edit.emit(op, [op.inputs[0], w], kind="conv2d", attrs=attrs)
    return edit.done()
