"""gather(x, every row of an image f x f times) -> resize: lines from lines, which need not be stored."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Rewrite

Growth = tuple[int, int, int]  # columns, and how often a line and a column is repeated


def nearest_lines(graph: Graph) -> Graph:
    """gather(x[h*w,C], rows of the nearest pixel) -> resize(x[h,w,C]) with one weight of 1, which is exact.

    A gather wants its result whole; a resize makes the lines that a sum or a convolution reads next.
    """
    if not graph.has("gather"):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        grid = None if op.outputs[0] in graph.outputs else _repeats(graph, op)
        if grid is None:
            edit.keep(op)
        else:
            _resize(edit, op, grid)
    return edit.done()


def _repeats(graph: Graph, op: Op) -> Growth | None:
    if op.kind != "gather":
        return None
    index, rows = np.asarray(op.attrs["indices"]), graph.type(str(op.inputs[0])).shape[0]
    others = np.flatnonzero(index)
    if index.ndim != 1 or len(index) <= rows or not len(others) or not others[0]:
        return None
    again = np.flatnonzero(index[others[0] :] == 0)
    across = int(others[0])
    width = (across + int(again[0])) // across if len(again) else 0
    if not width or rows % width or len(index) % (rows * across):
        return None
    down = len(index) // (rows * across)
    image = np.arange(rows).reshape(-1, width)
    same = np.array_equal(image.repeat(down, 0).repeat(across, 1).ravel(), index)
    return (width, down, across) if same else None


def _resize(edit: Rewrite, op: Op, grid: Growth) -> None:
    width, down, across = grid
    rows, channels = edit.graph.type(str(op.inputs[0])).shape
    height = rows // width
    tall, wide = height * down, width * across
    shape = height, width, channels
    image = edit.emit_new(
        op, [op.inputs[0]], shape, kind="reshape", name=f"{op.name}.image", attrs={"shape": shape}
    )

    def first_only(count: int):  # type: ignore[no-untyped-def]
        return lambda: np.tile(np.array([1.0, 0.0]), (count, 1))

    tables = [
        edit.const(f"{op.name}.{name}", (count, 2), first_only(count))
        for name, count in (("wy", tall), ("wx", wide))
    ]
    attrs = {
        "rows": tuple(i // down for i in range(tall)),
        "columns": tuple(i // across for i in range(wide)),
    }
    out = edit.emit_new(op, [image, *tables], (tall, wide, channels), kind="resize", attrs=attrs)
    attrs = {"shape": (tall * wide, channels)}
    edit.emit(op, [out], kind="reshape", name=f"{op.name}.rows", attrs=attrs)
