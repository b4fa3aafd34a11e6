"""Where every row of every value stands on the image.

Followed through the graph in its order: a convolution lays a new grid, an index map (windows, shifts,
padding) takes rows along, merging four rows takes their middle. So nothing is guessed from counts, and a
row that is no patch (a class token, padding, a channel) has no place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op

Places = NDArray[np.float64]  # [rows, 2]: line and column over the image's size, nan: no patch
_GRIDS = ("conv2d", "maxpool", "avgpool", "resize")
_ROW_WISE = ("linear", "layernorm", "groupnorm", "power", "unary", "add", "mul", "max", "softmax")


def positions(graph: Graph) -> Mapping[str, Places]:
    """Of the values of a float graph whose rows stand somewhere."""
    found: dict[str, Places] = {}
    for op in graph.ops:
        places = _of(graph, op, found)
        if places is not None:
            found[op.outputs[0]] = places
    return found


def grid(lines: int, columns: int) -> Places:
    """The middles of patches, line by line."""
    y, x = ((np.arange(n) + 0.5) / n for n in (lines, columns))
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)


def _of(graph: Graph, op: Op, found: Mapping[str, Places]) -> Places | None:
    shape = graph.type(op.outputs[0]).shape
    if op.kind in _GRIDS:
        return grid(*shape[:2])
    if op.kind == "concat":
        return _joined(graph, op, found)
    known = next(_known(graph, op, found), None)
    if known is None:
        return None
    if op.kind == "gather":
        return known[np.asarray(op.attrs["indices"])]
    if op.kind == "slice":
        return known[op.attrs["start"] : op.attrs["stop"]] if op.attrs["axis"] == 0 else known
    if op.kind == "reshape":
        return _reshaped(known, _rows(shape))
    return known if op.kind in (*_ROW_WISE, "attention") else None


def _known(graph: Graph, op: Op, found: Mapping[str, Places]) -> Iterator[Places]:
    """The places of an operation's operands; where its rows stay, those with as many rows."""
    rows = _rows(graph.type(op.outputs[0]).shape)
    for name in map(str, op.inputs):
        if name in found and (op.kind not in (*_ROW_WISE, "attention") or len(found[name]) == rows):
            yield found[name]


def _rows(shape: tuple[int, ...]) -> int:
    """Of a matrix [rows, C], pixels of an image [H, W, C]."""
    return int(np.prod(shape[:-1]))


def _joined(graph: Graph, op: Op, found: Mapping[str, Places]) -> Places | None:
    parts = [str(n) for n in op.inputs]
    if op.attrs["axis"] != 0:
        return next((found[n] for n in parts if n in found), None)
    if not any(n in found for n in parts):
        return None
    rows = [_rows(graph.type(n).shape) for n in parts]
    nowhere = [np.full((n, 2), np.nan) for n in rows]
    return np.concatenate([found.get(n, none) for n, none in zip(parts, nowhere, strict=True)])


def _reshaped(known: Places, rows: int) -> Places | None:
    """Rows that stay, or of which several become one."""
    if len(known) == rows:
        return known
    if rows == 0 or len(known) % rows:
        return None
    return np.asarray(known.reshape(rows, -1, 2).mean(axis=1))
