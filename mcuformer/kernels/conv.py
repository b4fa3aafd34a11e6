"""mcf_conv2d and mcf_dwconv2d: convolutions over HWC images (runtime_c/include/mcf_conv.h).

The operation is a q_conv2d (w[N, kh*kw*C/groups]), a q_patch_embed with pads, or a q_dwconv2d
(w[C, kh*kw]). `rows` counts lines of the output image, or pixels where the output is tokens [T, N].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.ir.graph import Op
from mcuformer.ir.types import DTYPES
from mcuformer.kernels import conv_cost, linear
from mcuformer.kernels.base import CACHE_LINE, CArray, KernelData
from mcuformer.kernels.shapes import Values, constant, round4

SOURCES = ("mcf_conv2d.c", "mcf_dwconv2d.c", "mcf_dw.c", *linear.GEMM_SOURCES)
STRIP_BYTES = 4096  # of a depthwise layer's scratch: more output lines at a time save little


def pack(op: Op, graph: Values, *, panel: int | None = None, **_: Any) -> KernelData:
    """`panel` None: all output channels."""
    return _packed(op, graph, panel, 0)


def pack_depthwise(op: Op, graph: Values, **_: Any) -> KernelData:
    w = CArray("w", "int8_t", depthwise_weights(op, graph), CACHE_LINE, "weights")
    return _packed(op, graph, None, band_of(op, graph), w)


def _packed(
    op: Op, graph: Values, panel: int | None, band: int, w: CArray | None = None
) -> KernelData:
    """`w`: the weights, where mcf_linear has them in another order."""
    x = graph.type(str(op.inputs[0]))
    (kh, kw), (sy, sx) = op.attrs["kernel"], op.attrs["strides"]
    height, width, channels = x.shape
    pads = tuple(op.attrs.get("pads", (0, 0, 0, 0)))
    pad = op.attrs.get("pad_value", (op.attrs["x_zp"],) * channels)
    expanded = panel_of(op, graph, panel)
    core = linear.pack(as_linear(op), graph, panel=expanded, tile=tile_of(op, graph))
    arrays = {a.suffix: a for a in core.arrays}
    if w is not None:
        arrays["w"] = w
    arrays["pad"] = CArray("pad", f"{x.dtype}_t", np.array(pad, DTYPES[x.dtype]))
    fields = {f"core.{name}": value for name, value in core.fields.items()} | {
        "pad": "pad",
        "height": height,
        "width": width,
        "channels": channels,
        "groups": int(op.attrs.get("groups", 1)),
        "out_width": out_width(op, graph),
        "kernel_h": int(kh),
        "kernel_w": int(kw),
        "stride_h": int(sy),
        "stride_w": int(sx),
        "pad_top": int(pads[0]),
        "pad_left": int(pads[1]),
        "band": band,
        "over": int(lies_over(op)),
    }
    return KernelData("mcf_conv2d_t", fields, tuple(arrays.values()))


def as_linear(op: Op) -> Op:
    """The layer over patches."""
    drop = ("kernel", "strides", "pads", "pad_value")
    return op.replace(kind="q_linear", attrs={k: v for k, v in op.attrs.items() if k not in drop})


def depthwise_weights(op: Op, graph: Values) -> np.ndarray:
    """w[C, taps] in the order [C/4][taps][4]."""
    w = linear.by_four(constant(graph, op.inputs[1]))
    return np.ascontiguousarray(w.transpose(0, 2, 1)).astype(np.int8).reshape(-1)


def group_channels(op: Op, graph: Values) -> int:
    """Output channels of a group."""
    return int(graph.type(str(op.inputs[1])).shape[0] // op.attrs.get("groups", 1))


def panel_of(op: Op, graph: Values, panel: int | None) -> int:
    """Channels of a group that are expanded at a time."""
    return group_channels(op, graph) if panel is None else panel


def tile_of(op: Op, graph: Values) -> int:
    """Patches that are gathered at a time: an even number in about 2 KB."""
    kp = round4(constant(graph, op.inputs[1]).shape[1])
    return max(2, min(16, 1024 // kp & ~1))


def strip_bytes(op: Op, graph: Values, band: int) -> int:
    """Depthwise: the input lines of `band` output lines for 4 channels, with the padding."""
    kh, kw = op.attrs["kernel"]
    sy, sx = op.attrs["strides"]
    return 8 * ((band - 1) * sy + kh) * ((out_width(op, graph) - 1) * sx + kw)


def lies_over(op: Op) -> bool:
    """Whether a depthwise layer's result lies where its image lies (schedule/ways/over_image.py)."""
    return bool(op.attrs.get("over", 0))


def band_of(op: Op, graph: Values) -> int:
    """Output lines of a depthwise layer at a time: all where they lie over the image."""
    if lies_over(op):
        return output_lines(op, graph)
    bands = range(output_lines(op, graph), 1, -1)
    return next((b for b in bands if strip_bytes(op, graph, b) <= STRIP_BYTES), 1)


def out_width(op: Op, graph: Values) -> int:
    """Output pixels of a line, also where the output type is rows of tokens."""
    _top, left, _bottom, right = op.attrs.get("pads", (0, 0, 0, 0))
    return _positions(op, graph, 1, left + right)


def output_lines(op: Op, graph: Values) -> int:
    top, _left, bottom, _right = op.attrs.get("pads", (0, 0, 0, 0))
    return _positions(op, graph, 0, top + bottom)


def _positions(op: Op, graph: Values, axis: int, pads: int) -> int:
    size = graph.type(str(op.inputs[0])).shape[axis]
    return int((size + pads - op.attrs["kernel"][axis]) // op.attrs["strides"][axis] + 1)


def pixels_of(op: Op, graph: Values, rows: int) -> int:
    lines = len(graph.type(op.outputs[0]).shape) == 3
    return rows * out_width(op, graph) if lines else rows


def scratch_bytes(op: Op, graph: Values, rows: int, *, panel: int | None = None, **_: Any) -> int:
    pixels = pixels_of(op, graph, rows)
    x = DTYPES[graph.type(str(op.inputs[0])).dtype]
    row = round4(constant(graph, op.inputs[1]).shape[1]) * x.itemsize
    width, tile = panel_of(op, graph, panel), tile_of(op, graph)
    return 2 * row + linear.scratch_bytes(as_linear(op), graph, pixels, panel=width, tile=tile)


def depthwise_scratch_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    kernel = 8 * constant(graph, op.inputs[1]).shape[1]
    size = kernel + strip_bytes(op, graph, band_of(op, graph)) + 8 * op.attrs["strides"][1]
    return int(max(size, _group_bytes(op, graph)) if lies_over(op) else size)


def _group_bytes(op: Op, graph: Values) -> int:
    """Four channels of the whole image."""
    height, width, _ = graph.type(str(op.inputs[0])).shape
    return 4 * height * width * DTYPES[graph.type(str(op.inputs[0])).dtype].itemsize


def weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Flash bytes of the weights one call reads."""
    return linear.weight_bytes_read(as_linear(op), graph, rows)


def depthwise_weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """The few stay in the cache."""
    return int(constant(graph, op.inputs[1]).size)


def instructions(op: Op, graph: Values, rows: int, *, panel: int | None = None, **_: Any) -> int:
    shape, width, tile = _shape(op, graph, rows), panel_of(op, graph, panel), tile_of(op, graph)
    return conv_cost.conv2d(op, graph, shape, as_linear(op), width, tile)


def depthwise_instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    shape = _shape(op, graph, rows)
    return conv_cost.dwconv2d(op, graph, shape, as_linear(op), band_of(op, graph))


def _shape(op: Op, graph: Values, rows: int) -> conv_cost.ConvShape:
    width = out_width(op, graph)
    return conv_cost.ConvShape.of(op, graph, -(-pixels_of(op, graph, rows) // width), width)
