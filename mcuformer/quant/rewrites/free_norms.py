"""layernorm(x) before linear layers -> layernorm(x) * 1, with an output scale per channel."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np

from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.edit import Rewrite
from mcuformer.quant.rewrites.fold_layernorm_affine import linear_readers


def free_norms(graph: Graph, given: Collection[str] = ()) -> Graph:
    """layernorm(x) -> layernorm(x, gamma = 1), where the stream x was not rotated.

    As RepQ-ViT (Li et al., 2023): channels of different spread get scales of their own, which the
    next linear layers take back. Rotated streams have no such channels and save the multiply.
    """
    edit, rotated = Rewrite(graph), graph.meta.get("rotated", ())
    for op in graph.ops:
        y = op.outputs[0]
        plain = op.kind == "layernorm" and len(op.inputs) == 1 and op.attrs["groups"] == 1
        free = plain and op.inputs[0] not in rotated and y not in given
        if not free or not linear_readers(edit, y):
            edit.keep(op)
            continue
        width = graph.type(y).shape[-1]
        one = edit.const(f"{op.name}.one", (width,), partial(np.ones, width))
        edit.emit(op, [op.inputs[0], one])
    return edit.done()
