"""How far the next samples reach beyond the extremes of those seen: measured on samples left out.

A channel of a small map is seen in few values, and its extremes lie well inside of those to come. The
calibration samples are parted into groups; what all others saw is widened until it serves each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GROUPS = 8
_FACTORS = (1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
_SHARES = (0.0, 0.3, 0.6, 1.0)  # of the widest channel
_SPARE_FACTOR, _SPARE_SHARE = 1.5, 0.5
_ROWS = 2048  # that say what a range costs
_MARGIN = 4.0  # of one sample; of more, as many times less
_MOST_ROOM = 0.5  # by their number alone, of what may be cut
_CLIPPING = 4.0  # weight of what is cut, as in ranges.py: within a row its errors have one sign
_WORTH = 0.85  # of the error of the extremes as they are: less is no reason to widen them
Range = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Of the calibration samples: (low, high) of each `ends` [G, 2, C], and which one a sampled
    row is of, `of_row` [R]; `samples` in all."""

    ends: NDArray
    of_row: NDArray
    samples: int

    def and_also(self, later: Groups) -> Groups:
        """With the groups of later samples; the first of them may have begun here."""
        ends = later.ends
        kept = len(self.ends)
        if later.of_row.min() == kept - 1:
            kept -= 1
            ends = np.concatenate([joined_ends(self.ends[-1:], ends[:1]), ends[1:]])
        of_row = np.concatenate([self.of_row, later.of_row])
        return Groups(
            np.concatenate([self.ends[:kept], ends]), of_row, self.samples + later.samples
        )


def joined_ends(a: NDArray, b: NDArray) -> NDArray:
    """Of two arrays [G, 2, C] of (low, high), the lower and the higher."""
    low, high = np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])
    return np.stack([low, high], axis=1)


def groups_of(x: NDArray, of_sample: NDArray, picked: NDArray | None) -> Groups:
    """Of a batch x [N, ..., C] whose samples belong to groups `of_sample` (N,), in order; `picked`
    of its rows are sampled (None: all)."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    firsts = np.unique(of_sample, return_index=True)[1]
    low, high = rows.min(axis=1), rows.max(axis=1)
    ends = [np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)]
    of_row = np.repeat(of_sample, rows.shape[1])
    return Groups(np.stack(ends, axis=1), of_row if picked is None else of_row[picked], len(x))


def reaching(
    groups: Groups, rows: NDArray, ends: Range, levels: int, symmetric: bool
) -> Range | None:
    """`ends` (C,) of all samples with room for the next; None where none is needed, and cutting
    them may be tried. `rows` [R, C] are those of `groups`.

    At the least there is room by the number of samples. Of many samples that is next to none: then
    only what is never negative has it and is not cut, since all its errors have one sign.
    """
    positive = not symmetric and bool(ends[0].min() >= 0)
    factor, share = 1.0, 0.0
    if len(groups.ends) > 1:
        others = _others(groups.ends, symmetric)
        factor, share = _cheapest(_parts(groups, rows), others, levels, positive)
    room = _MARGIN / groups.samples
    if positive:
        factor = max(factor, 1 + room)
    elif len(groups.ends) > 1 and not symmetric and 1 + room > _FACTORS[1]:
        factor = max(factor, 1 + min(room, _MOST_ROOM))
    if (factor, share) == (1.0, 0.0):
        return None
    return _widened(*ends, factor, share, positive)


def spacious(low: NDArray, high: NDArray) -> Range:
    """For grids of more than 8 bits, which have levels to spare."""
    return _widened(low, high, _SPARE_FACTOR, _SPARE_SHARE, positive=False)


def _parts(groups: Groups, rows: NDArray) -> NDArray:
    """As many rows [G, R, C] of every group."""
    count = len(groups.ends)
    mine = [np.flatnonzero(groups.of_row == g) for g in range(count)]
    each = max(1, min(_ROWS // count, *map(len, mine)))
    return np.stack([rows[m[np.linspace(0, len(m) - 1, each).astype(int)]] for m in mine])


def _others(groups: NDArray, symmetric: bool) -> Range:
    """Extremes [G, 1, C] of all groups but one."""
    kept = [np.delete(groups, i, axis=0) for i in range(len(groups))]
    low = np.stack([k[:, :1].min(axis=0) for k in kept]).astype(np.float64)
    high = np.stack([k[:, 1:].max(axis=0) for k in kept]).astype(np.float64)
    if symmetric:
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    return low, np.maximum(high, low + 1e-9)


def _cheapest(parts: NDArray, others: Range, levels: int, positive: bool) -> tuple[float, float]:
    """(factor, share) with the least cost of what the others saw for each part."""
    best, least = (1.0, 0.0), _cost(parts, *others, levels)
    worth = _WORTH * least
    for share in _SHARES:
        before = least
        for factor in _FACTORS if share else _FACTORS[1:]:
            error = _cost(parts, *_widened(*others, factor, share, positive), levels)
            if error >= least:
                if factor > best[0]:
                    break
                continue
            best, least = (factor, share), error
        if share and least == before:
            break
    return best if least < worth else (1.0, 0.0)


def _cost(parts: NDArray, low: NDArray, high: NDArray, levels: int) -> float:
    """Mean error of a row, not squared: the few rows that are cut should not cost all others
    their steps."""
    steps = (high - low) / (levels - 1)
    beyond = parts - np.clip(parts, low.astype(np.float32), high.astype(np.float32))
    cut = np.einsum("grc,grc->gr", beyond, beyond)
    error = np.square(steps).sum(axis=-1) / 12 + _CLIPPING * cut
    return float(np.sqrt(error).mean())


def _widened(low: NDArray, high: NDArray, factor: float, share: float, positive: bool) -> Range:
    """About the middle; what is never negative has room above alone."""
    width = high - low
    widest = width.max(axis=-1, keepdims=True)
    more = np.maximum(width * factor, share * widest) - width
    return (low, high + more) if positive else (low - more / 2, high + more / 2)
