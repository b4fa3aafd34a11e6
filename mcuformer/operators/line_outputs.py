"""Outputs that leave by lines: which they are, and how their numbers lie in the file.

A dense output, one of several rows, need not exist whole: its rows are handed out as they are made.
The reshapes and transposes that bring it into the file's order are left to whoever takes the lines:
`meta["line_outputs"]` has, per output, None (it stays in SRAM) or the order of its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels import walks
from mcuformer.operators.table import kinds

LineOrder = tuple[tuple[int, ...], tuple[int, ...]]
"""A shape for the numbers as they come, and the order of its axes in the file; () for no axes: as they come."""
_META = "line_outputs"
_VIEWS = kinds("view")
AS_THEY_COME: LineOrder = ((), ())


def orders(graph: Graph) -> Sequence[LineOrder | None]:
    """Of every output; None where it does not leave by lines."""
    known = graph.meta.get(_META)
    return tuple(known) if known else (None,) * len(graph.outputs)


def first_lines(graph: Graph) -> tuple[int | None, ...]:
    """The number of every output's first line, None where it does not leave by lines: they count through."""
    found: list[int | None] = []
    at = 0
    for name, order in zip(graph.outputs, orders(graph), strict=True):
        found.append(None if order is None else at)
        at += 0 if order is None else graph.type(name).shape[0]
    return tuple(found)


def leaving(graph: Graph) -> Mapping[str, tuple[int, ...]]:
    """The values that leave by lines, and the numbers of their first lines: of every output that is one."""
    found: dict[str, tuple[int, ...]] = {}
    for name, first in zip(graph.outputs, first_lines(graph), strict=True):
        if first is not None:
            found[name] = (*found.get(name, ()), first)
    return found


def in_file_order(order: LineOrder | None, x: NDArray, rank: int) -> NDArray:
    """Numbers [..., *shape] of an output, `rank` axes of its own, with these in the order of the file."""
    if not order or not order[1]:
        return x
    (shape, axes), lead = order, x.shape[: x.ndim - rank]
    moved = (*range(len(lead)), *(len(lead) + axis for axis in axes))
    return np.ascontiguousarray(x.reshape(*lead, *shape).transpose(moved))


def by_lines(graph: Graph) -> Graph:
    """`graph` with every dense output leaving by lines; the same where none is dense, or where the moves
    that are left to the taker were all that the model does: a program has a layer."""
    found = [_source(graph, name) for name in graph.outputs]
    dense = [graph.type(name).shape[:1] > (1,) and name not in graph.inputs for name, _ in found]
    if not any(dense):
        return graph
    pairs = list(zip(graph.outputs, found, dense, strict=True))
    outputs = tuple(source if is_dense else name for name, (source, _), is_dense in pairs)
    meta = {**graph.meta, _META: tuple(order if yes else None for _, (_, order), yes in pairs)}
    left = _without_dead(graph.replace(outputs=outputs, meta=meta))
    return graph if all(op.kind in _VIEWS for op in left.ops) else left


def _source(graph: Graph, name: str) -> tuple[str, LineOrder]:
    """The value that the moves before an output start from, and how the output's numbers lie in it."""
    producers = graph.producers()
    places: NDArray = np.arange(int(np.prod(graph.type(name).shape)))
    found = name, AS_THEY_COME
    while name in producers and (before := _moved(graph, producers[name])) is not None:
        name = str(producers[name].inputs[0])
        places = before[places]
        order = order_of(places)
        if order is not None and name not in graph.inputs:
            found = name, order
    return found


def _moved(graph: Graph, op: Op) -> NDArray | None:
    """Where each number of a move's result was before; None of what computes, leaves out or repeats."""
    source, size = graph.type(str(op.inputs[0])), int(np.prod(graph.type(op.outputs[0]).shape))
    if int(np.prod(source.shape)) != size:
        return None
    if op.kind == "reshape":
        return np.arange(size)
    if op.kind != "gather":
        return None
    rows = np.asarray(op.attrs["indices"]).ravel()
    if not np.array_equal(np.sort(rows), np.arange(source.shape[0])):
        return None
    width = size // len(rows)
    return (rows[:, None] * width + np.arange(width)).ravel()


def order_of(places: NDArray) -> LineOrder | None:
    """The axes that, put in another order, take number i from `places[i]`; None where there are none."""
    if np.array_equal(places, np.arange(len(places))):
        return AS_THEY_COME
    nest = walks.nest(places.tolist())
    loops = [loop for loop in nest or () if loop[0] > 1]
    source, target = (sorted(loops, key=lambda loop: -loop[side]) for side in (1, 2))
    shape, axes = tuple(loop[0] for loop in source), tuple(source.index(loop) for loop in target)
    whole = np.arange(len(places))
    if int(np.prod(shape)) != len(places) or not np.array_equal(
        whole.reshape(shape).transpose(axes).ravel(), places
    ):
        return None
    return shape, axes


def _without_dead(graph: Graph) -> Graph:
    """Without the operations, and values, that no output needs any more."""
    wanted, ops = {*graph.outputs, *graph.inputs}, list[Op]()
    for op in reversed(graph.ops):
        if wanted.intersection(op.outputs):
            ops.append(op)
            wanted.update(name for name in (*op.inputs, *op.outputs) if name is not None)
    values = {name: value for name, value in graph.values.items() if name in wanted}
    return graph.replace(ops=tuple(reversed(ops)), values=values)
