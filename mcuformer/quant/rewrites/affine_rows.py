"""A scale or an offset per channel is applied to the rows of an image, [H*W, C], and not to its lines.

Kernels that take a row at a time have their numbers per element of a row: of an image's line, once
more for each of its pixels. 6x80x480 takes 307,200 bytes of flash so, and 3,840 as rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.quant.rewrites.edit import Rewrite


def affine_rows(graph: Graph, given: Mapping[str, object]) -> Graph:
    """op(x, c) -> reshape(op(reshape(x), c)); readers that want rows get them. Values in `given` stay."""
    edit = Rewrite(graph)
    for op in graph.ops:
        x = _image(graph, op)
        if x is None or op.outputs[0] in given:
            edit.keep(op)
            continue
        shape = graph.type(op.outputs[0]).shape
        flat = (math.prod(shape[:-1]), shape[-1])
        rows = edit.b.add_value(f"{op.name}.flat", TensorType(flat, "float32"))
        edit.keep(Op("reshape", rows, (x,), (rows,), {"shape": flat}, op.origin))
        inputs = [rows if n == x else n for n in op.inputs]
        made = edit.emit_new(op, inputs, flat, name=f"{op.name}.rows")
        for reader in edit.consumers[op.outputs[0]]:
            if reader.kind == "reshape" and graph.type(reader.outputs[0]).shape == flat:
                edit.rename(reader.outputs[0], made)
        image = Op("reshape", f"{op.name}.image", (made,), op.outputs, {"shape": shape}, op.origin)
        edit.keep(image)
    return edit.done()


def _image(graph: Graph, op: Op) -> str | None:
    """The image [H, W, C] that a sum or a product with a constant of C numbers is of."""
    if op.kind not in ("add", "mul"):
        return None
    shape = graph.type(op.outputs[0]).shape
    images = [str(n) for n in op.inputs if graph.const(n) is None]
    others = [graph.type(str(n)).shape for n in op.inputs if graph.const(n) is not None]
    if len(shape) != 3 or shape[0] * shape[1] == 1 or len(images) != 1 or len(others) != 1:
        return None
    whole = graph.type(images[0]).shape == shape
    per_channel = others[0][-1:] == shape[-1:] and math.prod(others[0]) == shape[-1]
    return images[0] if whole and per_channel and len(others[0]) == 1 else None
