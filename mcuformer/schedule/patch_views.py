"""Convolutions that read every pixel once, and the tokens that they see as an image.

Merging of patches, sub-sampled keys: windows side by side, so that a row of patches needs just its
own lines. Where a row-wise operation makes these (a norm), lines of it are made when they are read.
"""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op


def by_patches(graph: Graph, op: Op) -> bool:
    """Whether `op` embeds unpadded patches of the model's input."""
    unpadded = op.kind == "q_patch_embed" and not any(op.attrs.get("pads", ()))
    return unpadded and op.inputs[0] in graph.inputs


def takes_patches(op: Op) -> bool:
    """Whether the windows of a convolution lie side by side: no padding, a stride as wide as the kernel,
    all channels at once. One pixel is no window."""
    return (
        op.kind in ("q_patch_embed", "q_conv2d")
        and not any(op.attrs.get("pads", ()))
        and tuple(op.attrs["kernel"]) == tuple(op.attrs["strides"])
        and tuple(op.attrs["kernel"]) != (1, 1)
        and op.attrs.get("groups", 1) == 1
    )


def patch_views(graph: Graph) -> dict[str, str]:
    """Images that are rows of tokens [H*W, C] seen as [H, W, C], read by such convolutions alone:
    the image and the tokens."""
    consumers = graph.consumers()
    found: dict[str, str] = {}
    for op in graph.ops:
        image, users = op.outputs[0], consumers[op.outputs[0]]
        if op.kind != "reshape" or not users or image in graph.outputs:
            continue
        rows, (*size, channels) = graph.type(str(op.inputs[0])).shape, graph.type(image).shape
        if len(rows) != 2 or len(size) != 2 or rows[1] != channels:
            continue
        if all(takes_patches(u) and u.inputs[0] == image for u in users):
            found[image] = str(op.inputs[0])
    return found
