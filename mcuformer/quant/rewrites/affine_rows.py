"""What has numbers per channel is applied to the rows of an image, [H*W, C], and not to its lines: a
scale, an offset, the larger of two whose grids differ.

Kernels that take a row at a time have their numbers per element of a row: of an image's line, once
more for each of its pixels. 6x80x480 takes 307,200 bytes of flash so, and 3,840 as rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.quant.classes import choices
from mcuformer.quant.rewrites.edit import Rewrite


def affine_rows(graph: Graph, given: Mapping[str, object]) -> Graph:
    """op(x, c) -> reshape(op(reshape(x), c)); readers that want rows get them. Values in `given` stay."""
    edit, chosen = Rewrite(graph), {op.name for op in choices(graph)}
    for op in graph.ops:
        images = [] if op.name in chosen or op.outputs[0] in given else _images(graph, op)
        if not images:
            edit.keep(op)
            continue
        shape = graph.type(op.outputs[0]).shape
        flat = (math.prod(shape[:-1]), shape[-1])
        rows = {x: _flat(edit, op, x, flat) for x in images}
        inputs = [rows.get(str(n), n) for n in op.inputs]
        made = edit.emit_new(op, inputs, flat, name=f"{op.name}.rows")
        for reader in edit.consumers[op.outputs[0]]:
            if reader.kind == "reshape" and graph.type(reader.outputs[0]).shape == flat:
                edit.rename(reader.outputs[0], made)
        image = Op("reshape", f"{op.name}.image", (made,), op.outputs, {"shape": shape}, op.origin)
        edit.keep(image)
    return edit.done()


def _flat(edit: Rewrite, op: Op, x: str, flat: tuple[int, ...]) -> str:
    rows = edit.b.add_value(f"{op.name}.flat", TensorType(flat, "float32"))
    edit.keep(Op("reshape", rows, (x,), (rows,), {"shape": flat}, op.origin))
    return rows


def _images(graph: Graph, op: Op) -> list[str]:
    """The image [H, W, C] that a sum or a product with a constant of C numbers is of; those of a max."""
    if op.kind not in ("add", "mul", "max"):
        return []
    shape = graph.type(op.outputs[0]).shape
    images = list(dict.fromkeys(str(n) for n in op.inputs if graph.const(n) is None))
    others = [graph.type(str(n)).shape for n in op.inputs if graph.const(n) is not None]
    if len(shape) != 3 or shape[0] * shape[1] == 1:
        return []
    whole = all(graph.type(n).shape == shape for n in images)
    if op.kind == "max" and len(images) == 2:
        return images if whole else []
    return images if whole and len(images) == 1 and others == [shape[-1:]] else []
