"""DequantizeLinear(Clip(QuantizeLinear(x))) -> Clip(DequantizeLinear(QuantizeLinear(x))), the same numbers.

Quantisers that write QCDQ (brevitas) say so that a grid is narrower than its type. A Clip that leaves
all of the type, or all but its least integer, goes: what is left is a pair like others.
"""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes.drop_qdq import grid_of
from mcuformer.passes.edit import Edit


def clip_after_pair(graph: Graph) -> Graph:
    made = graph.producers()
    edit, found = Edit(graph), False
    for op in graph.ops:
        cut = made.get(op.inputs[0] or "") if op.kind == "DequantizeLinear" else None
        ends = None if cut is None or cut.kind != "Clip" else _ends(graph, op, cut)
        source = None if cut is None or ends is None else made.get(cut.inputs[0] or "")
        if cut is None or ends is None or source is None or source.kind != "QuantizeLinear":
            edit.ops.append(op)
            continue
        found = True
        paired = op.replace(inputs=(cut.inputs[0], *op.inputs[1:]))
        edit.ops += [paired] if ends == () else _clipped(edit, paired, cut, ends)
    return edit.done() if found else graph


def _ends(graph: Graph, op: Op, cut: Op) -> tuple[float, ...] | None:
    """The reals that the Clip cuts at; () where it cuts nothing, None where nobody can tell."""
    grid = grid_of(graph, op)
    bounds = [None if i is None else graph.const(i) for i in (*cut.inputs[1:], None, None)[:2]]
    given = zip(bounds, cut.inputs[1:], strict=False)
    if grid is None or any(b is None and name is not None for b, name in given):
        return None
    scale, zero, dtype = grid
    info = np.iinfo(dtype)
    low, high = (
        int(end if b is None else b.reshape(-1)[0])
        for b, end in zip(bounds, (info.min, info.max), strict=True)
    )
    if low <= info.min + (info.min < 0) and high >= info.max:
        return ()
    return scale * (low - zero), scale * (high - zero)


def _clipped(edit: Edit, pair: Op, cut: Op, ends: tuple[float, ...]) -> list[Op]:
    """The pair, and a Clip in floats that writes what it wrote."""
    out = pair.outputs[0]
    raw = edit.activation(f"{out}.wide", edit.values[out].type.shape)
    bounds = [edit.fresh(f"{out}.{side}") for side in ("least", "most")]
    for name, end in zip(bounds, ends, strict=True):
        data = np.asarray(end, np.float32)
        edit.values[name] = Value(name, TensorType((), "float32"), data)
    clip = Op("Clip", cut.name, (raw, *bounds), (out,), {}, cut.origin)
    return [pair.replace(outputs=(raw,)), clip]
