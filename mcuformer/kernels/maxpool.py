"""mcf_maxpool: the largest of every window of an HWC image (runtime_c/include/mcf_maxpool.h).

`rows` counts lines of the output image.
"""

from __future__ import annotations

from typing import Any

from mcuformer.ir.graph import Op
from mcuformer.ir.types import ITEM_BYTES
from mcuformer.kernels.base import KernelData
from mcuformer.kernels.costs import CostSet
from mcuformer.kernels.shapes import TYPES, Values

SOURCES = ("mcf_maxpool.c",)


def pack(op: Op, graph: Values, **_: Any) -> KernelData:
    fields = geometry(op, graph)
    fields["type"] = TYPES[graph.type(str(op.inputs[0])).dtype]
    return KernelData("mcf_maxpool_t", fields)


def geometry(op: Op, graph: Values) -> dict[str, int | str]:
    """The fields of a pool's struct that say which windows it sees."""
    x, y = graph.type(str(op.inputs[0])), graph.type(op.outputs[0])
    (kh, kw), (sy, sx) = op.attrs["kernel"], op.attrs["strides"]
    height, width, channels = x.shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "out_width": y.shape[1],
        "kernel_h": int(kh),
        "kernel_w": int(kw),
        "stride_h": int(sy),
        "stride_w": int(sx),
        "pad_top": int(op.attrs["pads"][0]),
        "pad_left": int(op.attrs["pads"][1]),
    }


def instructions(op: Op, graph: Values, rows: int, *, costs: CostSet, **_: Any) -> int:
    out, cost = graph.type(op.outputs[0]), costs.maxpool
    width, channels = out.shape[1:]
    size, (high, wide) = channels * ITEM_BYTES[out.dtype], window(op, graph)
    blocks, words = size // 16, -(-(size % 16) // 4)
    each = blocks * (cost.block + high * (cost.block_row + wide * cost.block_pixel))
    each += words * (cost.word + high * (cost.word_row + wide * cost.word_pixel))
    if size < 4:
        each = channels * (cost.element + high * wide * cost.element_pixel)
    return round(rows * (cost.line + width * (cost.window + each)))


def window(op: Op, graph: Values) -> tuple[float, float]:
    """Lines and columns of the image that a window sees on average."""
    lines, columns = seen(op, graph)
    return sum(lines) / len(lines), sum(columns) / len(columns)


def seen(op: Op, graph: Values) -> tuple[list[int], list[int]]:
    """Lines of the image that the windows of each output line see, and columns."""
    sizes, counts = graph.type(str(op.inputs[0])).shape, graph.type(op.outputs[0]).shape
    found = []
    for axis in (0, 1):
        starts = [
            i * op.attrs["strides"][axis] - op.attrs["pads"][axis] for i in range(counts[axis])
        ]
        ends = [min(s + op.attrs["kernel"][axis], sizes[axis]) for s in starts]
        found.append([e - max(s, 0) for s, e in zip(starts, ends, strict=True)])
    return found[0], found[1]
