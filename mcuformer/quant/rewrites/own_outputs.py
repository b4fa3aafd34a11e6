"""Every graph output has bytes of its own, one row behind the other."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Edit

_VIEWS = ("reshape", "slice")
_COPY = {"kind": "concat", "attrs": {"axis": 0}}  # of one part


def own_outputs(graph: Graph) -> Graph:
    """output x -> concat(x) for an input x;  y = slice(x, channels) -> y = concat(slice(x, channels)).

    Channels cut from wider rows lie apart, and an input's bytes are the caller's: an output that is
    no more than a view of either is copied. Other views (a reshape, some rows) are bytes in order
    already. Exact.
    """
    cuts, moved = _sources(graph)
    if not cuts and not moved:
        return graph
    edit = Edit(graph)
    for op in graph.ops:
        if op.outputs[0] not in cuts:
            edit.keep(op)
            continue
        shape = graph.type(op.outputs[0]).shape
        part = edit.emit_new(op, list(op.inputs), shape, name=f"{op.name}.cut")
        edit.emit(op, [part], **_COPY)
    for name in moved:
        copy = Op("concat", f"{name}.copy", (name,), (), {"axis": 0})
        edit.rename(name, edit.emit_new(copy, [name], graph.type(name).shape))
    return edit.done()


def _sources(graph: Graph) -> tuple[set[str], dict[str, None]]:
    """Channel slices that an output is a view of, and outputs that are views of an input."""
    producers = graph.producers()
    cuts: set[str] = set()
    moved: dict[str, None] = {}
    for output in graph.outputs:
        name = output
        while name in producers and producers[name].kind in _VIEWS and name not in cuts:
            op = producers[name]
            if op.kind == "slice" and op.attrs["axis"] == 1:
                cuts.add(name)
            else:
                name = str(op.inputs[0])
        if name in graph.inputs:
            moved[output] = None
    return cuts, moved
