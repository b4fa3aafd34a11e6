"""reshape(conv2d(x) with kernel == stride) to rows -> patch_embed(x)."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Rewrite


def _is_patch_conv(graph: Graph, op: Op | None) -> bool:
    if op is None or op.kind != "conv2d" or op.attrs.get("group", 1) != 1:
        return False
    kernel = tuple(graph.type(str(op.inputs[1])).shape[:2])
    return kernel == tuple(op.attrs["strides"]) and not any(op.attrs["pads"])


def _is_rows(graph: Graph, conv: Op, reshape: Op) -> bool:
    """One row per pixel: not an image of another form."""
    height, width, channels = graph.type(conv.outputs[0]).shape
    return graph.type(reshape.outputs[0]).shape == (height * width, channels)


def patch_embed(graph: Graph) -> Graph:
    """reshape(conv2d(x, w, b), [Ho*Wo, C]) -> patch_embed(x, w, b): kernel == stride, no pads."""
    if not (graph.has("conv2d") and graph.has("reshape")):
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        source = edit.producers.get(str(op.inputs[0])) if op.kind == "reshape" else None
        if (
            source is None
            or not _is_patch_conv(graph, source)
            or edit.only_reader(source.outputs[0]) is None
            or not _is_rows(graph, source, op)
        ):
            edit.keep(op)
            continue
        edit.emit(
            source,
            list(source.inputs),
            kind="patch_embed",
            outputs=op.outputs,
            origin=source.origin + op.origin,
        )
    return edit.done()
