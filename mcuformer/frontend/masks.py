"""Sums with a mask (frontend/products.py) stand for numbers that only a softmax can read."""

from __future__ import annotations

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.names import shown
from mcuformer.ir.graph import Graph

_MOVES = ("reshape", "gather", "slice", "concat")
_READERS = ("softmax", "argmax")


def check_masks(graph: Graph) -> Graph:
    """`graph`; UnsupportedModelError where something else computes with masked scores, or puts them out."""
    masked: dict[str, str] = {}
    for op in graph.ops:
        source = next((masked[n] for n in op.inputs if n in masked), None)
        if op.attrs.get("masks"):
            masked[op.outputs[0]] = source or (op.origin[0] if op.origin else op.name)
        elif source is not None and op.kind in _MOVES:
            masked[op.outputs[0]] = source
        elif source is not None and op.kind not in _READERS:
            raise _refused(source, f"{op.kind} {shown(op.origin[-1] if op.origin else op.name)}")
    for name in graph.outputs:
        if name in masked:
            raise _refused(masked[name], "an output of the model")
    return graph


def _refused(source: str, reader: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"masked scores of {shown(source)}: looked for a Softmax behind the mask, found {reader}: the mask's large "
        "numbers are no values that a grid can hold",
        "give the scores out before the mask, or the Softmax behind it",
    )
