"""x * s + c of an input in uint8 -> the input itself, s and c in its mean and std (meta "input_pixels").

A model that normalises its pixels is then one whose pixels are normalised: the firmware takes bytes, the layers
behind take mean and std in, and a convolution that pads needs no copy of the image.
"""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Pixels


def lift_normalisation(graph: Graph) -> Graph:
    pixels: list[Pixels | None] = list(graph.meta.get("input_pixels", ()))
    changed = False
    for i, name in enumerate(graph.inputs):
        while i < len(pixels) and (given := pixels[i]) is not None:
            op = _only_reader(graph, name)
            found = None if op is None else _merged(graph, op, name, given)
            if op is None or found is None:
                break
            graph, pixels[i], changed = _without(graph, op, name), found, True
    return graph.replace(meta={**graph.meta, "input_pixels": tuple(pixels)}) if changed else graph


def _only_reader(graph: Graph, name: str) -> Op | None:
    readers = graph.consumers()[name]
    alone = len(readers) == 1 and name not in graph.outputs
    return readers[0] if alone and readers[0].outputs[0] not in graph.outputs else None


def _merged(graph: Graph, op: Op, name: str, given: Pixels) -> Pixels | None:
    """(p / 255 - mean) / std of the result; None for other operators, constants that differ from pixel to
    pixel, and factors of 0 or less."""
    if op.kind not in ("add", "mul"):
        return None
    const = graph.const(str(op.inputs[1] if op.inputs[0] == name else op.inputs[0]))
    if const is None or const.ndim != 1:
        return None
    mean, std = (np.asarray(v, np.float64) for v in given)
    if op.kind == "add":
        mean = mean - const.astype(np.float64) * std
    elif (const > 0).all():
        std = std / const.astype(np.float64)
    else:
        return None
    return tuple(map(float, mean)), tuple(map(float, std))


def _without(graph: Graph, op: Op, name: str) -> Graph:
    made = op.outputs[0]
    ops = tuple(
        o.replace(inputs=tuple(name if i == made else i for i in o.inputs))
        for o in graph.ops
        if o is not op
    )
    return graph.replace(ops=ops).pruned()
