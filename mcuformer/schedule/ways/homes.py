"""Which images of a strip region are written over the one image that they are made of, where lines stay in place.

What one operation alone reads may be overwritten by its result: of row-wise operations row by row, of a
depthwise convolution of stride 1 behind the last tap that any later output reads.
"""

from __future__ import annotations

from collections.abc import Callable

from mcuformer.ir.graph import Op
from mcuformer.operators.table import kernel_of, operand
from mcuformer.schedule.images import LINES, KnownValues
from mcuformer.schedule.ways.flow import LineGraph


def found_homes(
    graph: KnownValues,
    images: LineGraph,
    overlap: Callable[[int], int],
    is_whole: Callable[[int], bool],
) -> dict[int, int]:
    """The image in whose window image k lies; `overlap`: lines of an image that are kept between steps."""
    homes: dict[int, int] = {}
    for k, op in enumerate(images.ops[:-1]):
        if op is None or overlap(k):
            continue
        for j, readers in enumerate(images.flow.readers[:k]):
            alone = all(r == k for r, _ in readers) and not is_whole(j)
            free = op.kind not in LINES or j not in homes
            able = alone and free and len(readers) == 1 and _alike(graph, images, k, j)
            if able and _may_lie_over(images, op, j, overlap(j)):
                homes[k] = j
                break
    return homes


def _alike(graph: KnownValues, images: LineGraph, k: int, j: int) -> bool:
    """Whether lines of both have the same bytes, of as many channels."""
    a, b = (graph.type(images.names[n]) for n in (k, j))
    lines = [t.size_bytes // images.flow.heights[n] for t, n in ((a, k), (b, j))]
    return lines[0] == lines[1] and a.dtype == b.dtype and a.shape[-1] == b.shape[-1]


def _may_lie_over(images: LineGraph, op: Op, j: int, kept: int) -> bool:
    """Whether the result of `op`, which alone reads image j, may be written over that."""
    if op.kind in LINES:
        return op.kind == "q_dwconv2d" and tuple(op.attrs["strides"]) == (1, 1)
    names = [n for n in op.inputs if n is not None and images.at.get(n) == j]
    again = [operand(op, n) for n in kernel_of(op).again]
    return not kept and len(names) == 1 and names[0] not in again


def shift(graph: KnownValues, name: str, op: Op) -> int:
    """Bytes before the first pixel that an output pixel of `op` reads, where it is written; `name`: its result."""
    t, count = graph.type(name), 1
    for n in t.shape:
        count *= n
    return int(op.attrs.get("pads", (0, 0))[1]) * t.shape[-1] * (t.size_bytes // count)
