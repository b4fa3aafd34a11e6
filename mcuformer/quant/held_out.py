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
_CLIPPING = 2.0  # weight of squared clipping errors: within a row they have one sign (ranges.py)
_LEAST_ROW = 1e-3  # of the mean row's square: a row of nothing takes any error
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


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """As many rows of every group, `parts` [G, R, C], and the `worth` [G, R] of a squared error."""

    parts: NDArray
    worth: NDArray

    def cost(self, low: NDArray, high: NDArray, levels: int) -> float:
        """Root of the mean squared error under the ranges [G, 1, C] of the other groups."""
        steps = (high - low) / (levels - 1)
        beyond = self.parts - np.clip(self.parts, low.astype(np.float32), high.astype(np.float32))
        cut = np.einsum("grc,grc->gr", beyond, beyond)
        rounding = np.square(steps).sum(axis=-1) / 12
        return float(np.sqrt((self.worth * (rounding + _CLIPPING * cut)).mean()))


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
    groups: Groups,
    rows: NDArray,
    ends: Range,
    levels: int,
    symmetric: bool,
    normalised: bool = False,
) -> Range | None:
    """`ends` (C,) of all samples with room for the next; None where none is needed, and cutting
    them may be tried. `rows` [R, C] are those of `groups`; a LayerNorm reads them `normalised`.

    What is never negative is not cut, and has room by the number of samples at the least: all its
    errors have one sign, and sums add them up.
    """
    positive = not symmetric and bool(ends[0].min() >= 0)
    factor, share = 1.0, 0.0
    if len(groups.ends) > 1:
        others = _others(groups.ends, symmetric)
        parts = _parts(groups, rows)
        worth = _worth(parts) if normalised else np.ones(parts.shape[:2])
        factor, share = _cheapest(Held(parts, worth), others, levels, positive)
    if positive:
        factor = max(factor, 1 + _MARGIN / groups.samples)
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


def _worth(parts: NDArray) -> NDArray:
    """What a squared error of each row [G, R] counts where a LayerNorm divides the row by its own
    spread: large rows of patches do not outvote the small one of a class token."""
    own = np.square(parts - parts.mean(axis=-1, keepdims=True)).sum(axis=-1)
    return np.asarray(1 / np.maximum(own, max(_LEAST_ROW * float(own.mean()), 1e-30)))


def _cheapest(held: Held, others: Range, levels: int, positive: bool) -> tuple[float, float]:
    """(factor, share) with the least cost of what the others saw for each part."""
    best, least = (1.0, 0.0), held.cost(*others, levels)
    enough = _WORTH * least
    for share in _SHARES:
        before = least
        for factor in _FACTORS if share else _FACTORS[1:]:
            error = held.cost(*_widened(*others, factor, share, positive), levels)
            if error >= least:
                if factor > best[0]:
                    break
                continue
            best, least = (factor, share), error
        if share and least == before:
            break
    return best if least < enough else (1.0, 0.0)


def _widened(low: NDArray, high: NDArray, factor: float, share: float, positive: bool) -> Range:
    """About the middle; what is never negative has room above alone."""
    width = high - low
    widest = width.max(axis=-1, keepdims=True)
    more = np.maximum(width * factor, share * widest) - width
    return (low, high + more) if positive else (low - more / 2, high + more / 2)
