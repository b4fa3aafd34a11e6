"""The packed matrices that several programs share, one behind the other, and where slices of them lie.

A matrix is packed in groups of 4 output channels (kernels/linear.py), so a slice that begins and ends at
multiples of 4 is some groups of some consecutive bytes each: an offset and a stride. Matrices of equal
group length lie without gaps, so a slice may begin in one and end in the next: rows of q, k and v are
counted through all three (docs/adr/0013).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mcuformer.kernels.base import CACHE_LINE, CArray

_UNIT = 8  # bytes that the columns of every slice count by: 4 channels times 4 columns of 4 bits


@dataclass(frozen=True, slots=True)
class At:
    """Byte `offset` of the blob, and bytes from 4 channels to the next 4."""

    offset: int
    group_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Groups [G, group_bytes] of adjoining matrices, from byte `offset` on."""

    offset: int
    groups: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """`data`: all bytes; nothing where a program has its weights alone."""

    data: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    runs: tuple[Stretch, ...] = ()

    def find(self, array: CArray) -> At | None:
        """Where a packed matrix lies as a slice; None where it does not."""
        if not array.group_bytes:
            return None
        small = np.ascontiguousarray(array.data).view(np.int8).reshape(-1, array.group_bytes)
        for run in self.runs:
            found = _find(run.groups, small)
            if found is not None:
                group, column = found
                width = run.groups.shape[1]
                return At(run.offset + group * width + column, width)
        return None


def blob_of(matrices: Iterable[CArray], wanted: Sequence[CArray]) -> Blob:
    """Of those matrices of the widest program in which some of the `wanted` ones lie."""
    known = list(matrices)
    whole = _joined(known)
    firsts = np.cumsum([0, *(_padded(m) for m in known)])
    spans = [
        (at.offset, at.offset + at.group_bytes * (array.data.nbytes // array.group_bytes))
        for array in wanted
        if (at := whole.find(array)) is not None
    ]
    kept = [
        m for m, a, b in zip(known, firsts, firsts[1:], strict=False)
        if any(low < b and a < high for low, high in spans)
    ]  # fmt: skip
    return _joined(kept)


def _padded(array: CArray) -> int:
    return -(-array.data.nbytes // CACHE_LINE) * CACHE_LINE


def _joined(matrices: Sequence[CArray]) -> Blob:
    parts, runs, offset = [], [], 0
    for width, same in groupby(_runs(matrices), key=lambda pair: pair[0]):
        run = [m for _, m in same]
        groups = np.concatenate([m.data.view(np.int8).reshape(-1, width[1]) for m in run])
        runs.append(Stretch(offset, groups))
        flat = groups.reshape(-1)
        parts.append(np.pad(flat, (0, -flat.size % CACHE_LINE)))
        offset += parts[-1].size
    return Blob(np.concatenate(parts) if parts else np.zeros(0, np.int8), tuple(runs))


def _runs(matrices: Sequence[CArray]) -> Iterator[tuple[tuple[int, int], CArray]]:
    """Each matrix with (number, group bytes) of its run; a new one begins behind a gap."""
    number, before = 0, None
    for matrix in matrices:
        gap = before is not None and before.data.nbytes % CACHE_LINE > 0
        if before is not None and (gap or before.group_bytes != matrix.group_bytes):
            number += 1
        before = matrix
        yield (number, matrix.group_bytes), matrix


def _find(groups: NDArray, small: NDArray) -> tuple[int, int] | None:
    """(group, byte) in [G, B] from which on [g, b] lies."""
    count, width = small.shape
    last = len(groups) - count
    for column in range(0, groups.shape[1] - width + 1, _UNIT) if last >= 0 else ():
        heads = groups[: last + 1, column : column + _UNIT]
        for group in np.flatnonzero((heads == small[0, :_UNIT]).all(axis=1)):
            part = groups[group : group + count, column : column + width]
            if np.array_equal(part, small):
                return int(group), column
    return None
