"""Images as they come into a file: channels last, or bytes that the model itself turns into floats."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op

_MOST_CHANNELS = 4  # of a picture, where nothing else says which axis they are
# They keep an image what it is, and its axes.
_POINTWISE = frozenset((
    "Cast", "Identity", "Add", "Sub", "Mul", "Div", "Clip", "QuantizeLinear", "DequantizeLinear",
))  # fmt: skip
_MOVES = frozenset(("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"))


def channels_last(graph: Graph, name: str) -> bool:
    """Whether a 4-D input is [1, H, W, C]: all that reads it moves the channels forward, or else its last
    axis alone is as short as channels are."""
    ends = _behind(graph, name, _POINTWISE)
    if ends and all(op.kind == "Transpose" for op in ends):
        return all(tuple(op.attrs.get("perm", ())) == (0, 3, 1, 2) for op in ends)
    if any(op.kind in ("Conv", "MaxPool", "AveragePool", "BatchNormalization") for op in ends):
        return False
    _, first, *_, last = graph.type(name).shape
    return last <= _MOST_CHANNELS < first


def is_converted(graph: Graph, name: str) -> bool:
    """Whether an input is an image in uint8 of which nothing is read but what a Cast makes of it."""
    type_ = graph.type(name)
    if type_.dtype != "uint8" or len(type_.shape) != 4 or name in graph.outputs:
        return False
    ends = _behind(graph, name, _MOVES)
    return bool(ends) and all(
        op.kind == "Cast" and str(op.attrs.get("to")).startswith("float") for op in ends
    )


def _behind(graph: Graph, name: str, through: frozenset[str]) -> list[Op]:
    """The first nodes of other kinds than `through` that read `name`."""
    readers: dict[str, list[Op]] = {}
    for op in graph.ops:
        for value in op.inputs:
            if value is not None:
                readers.setdefault(value, []).append(op)
    found: list[Op] = []
    waiting, seen = [name], {name}
    while waiting:
        for op in readers.get(waiting.pop(), ()):
            if op.kind not in through:
                found.append(op)
            else:
                waiting += [out for out in op.outputs if out not in seen]
                seen.update(op.outputs)
    return found
