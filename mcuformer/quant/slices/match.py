"""Which rows and columns of a full network's matrices a narrower network's are.

Exporters copy a slice into each file, so sharing is found again by content: the layers of both are
matched in order, and layers that come from one matrix of the file (q, k and v) count as one stack, since
a slice of it moves rows from one of them to another (Scala, NeurIPS 2024: "slicing").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.util.names import printable

_CLOSE = 1e-4  # of a matrix's largest number: float32 copies, folded and rotated in another order
_HINT = (
    "operating points are files of one slimmable training: each weight the first or the last rows and "
    "columns of the full network's"
)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A layer's w[K, N] is rows `row`... (outputs) and columns `column`... (inputs) of stack `stack`,
    each output times `factor` [N]."""

    stack: int
    row: int
    column: int
    factor: NDArray[np.float64]


SlicePlaces = Mapping[str, Placed]  # by operation


def stacks_of(graph: Graph) -> list[list[Op]]:
    """Layers with weights, in order; those that one node of the file brought are one stack."""
    found: dict[str, list[Op]] = {}
    for op in graph.ops:
        if op.kind in PRODUCERS:
            key = op.origin[0] if op.kind == "linear" and op.origin else op.name
            found.setdefault(key, []).append(op)
    return list(found.values())


def matrix(graph: Graph, ops: Sequence[Op]) -> NDArray[np.float64]:
    """w[K, N] of a stack."""
    parts = [graph.const(op.inputs[1]) for op in ops]
    flat = [w.reshape(-1, w.shape[-1]) for w in parts if w is not None]
    return np.concatenate(flat, axis=1).astype(np.float64)


def places_of(full: Graph, narrow: Graph) -> SlicePlaces:
    """Where each layer of `narrow` lies in `full`; both prepared (quant/rewrites) and not rotated.

    UsageError where one is no slice.
    """
    ours, theirs = stacks_of(narrow), stacks_of(full)
    if [len(s) for s in ours] != [len(s) for s in theirs] or _kinds(narrow) != _kinds(full):
        raise UsageError(f"{narrow.name} has other layers than {full.name}", _HINT)
    places: dict[str, Placed] = {}
    for index, (mine, wide) in enumerate(zip(ours, theirs, strict=True)):
        found = _place(matrix(full, wide), matrix(narrow, mine))
        if found is None:
            raise UsageError(
                f"layer {printable(mine[0].name)} of {narrow.name} is no slice of that of {full.name}",
                _HINT,
            )
        row, column, factor = found
        at = 0
        for op in mine:
            n = narrow.type(str(op.inputs[1])).shape[-1]
            places[op.name] = Placed(index, row + at, column, factor[at : at + n])
            at += n
    return places


def _kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def _place(full: NDArray, narrow: NDArray) -> tuple[int, int, NDArray] | None:
    """(row, column, factor per row) of the slice, the first rows and columns first."""
    for column, row in _corners(full.shape, narrow.shape):
        part = full[column : column + narrow.shape[0], row : row + narrow.shape[1]]
        power = np.square(part).sum(axis=0)
        factor = np.where(power > 0, (part * narrow).sum(axis=0) / np.maximum(power, 1e-300), 1.0)
        if np.abs(narrow - factor * part).max() <= _CLOSE * np.abs(narrow).max() and (
            factor.min() > 0
        ):
            return row, column, factor
    return None


def _corners(full: tuple[int, ...], narrow: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First or last: (first column, first row)."""
    spare = [a - b for a, b in zip(full, narrow, strict=True)]
    if min(spare) < 0:
        return
    for column in dict.fromkeys((0, spare[0])):
        for row in dict.fromkeys((0, spare[1])):
            yield column, row
