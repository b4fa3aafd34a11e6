"""How far the next samples reach beyond the extremes of those seen: measured on samples left out.

A channel of a small map is seen in few values, and its extremes lie well inside of those to come. The
calibration samples are parted into groups; what all others saw is widened until it serves each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.util.speed import at_once

GROUPS = 8
_FACTORS = (1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
_SHARES = (0.0, 0.3, 0.6, 1.0)  # of the widest channel
_TRIALS = np.array([(factor, share) for share in _SHARES for factor in _FACTORS])
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

    def costs(self, low: NDArray, high: NDArray, levels: int) -> list[float]:
        """Root of the mean squared error under each of the ranges [F, G, 1, C] of the other groups."""
        steps = (high - low) / (levels - 1)
        above = np.maximum(self.parts, low.astype(np.float32))
        beyond = self.parts - np.minimum(above, high.astype(np.float32))
        cut = np.einsum("fgrc,fgrc->fgr", beyond, beyond)
        rounding = np.square(steps).sum(axis=-1) / 12
        errors = self.worth * (rounding + _CLIPPING * cut)
        found: list[float] = np.sqrt(errors.reshape(len(errors), -1).mean(axis=1)).tolist()
        return found


def joined_ends(a: NDArray, b: NDArray) -> NDArray:
    """Of two arrays [G, 2, C] of (low, high), the lower and the higher."""
    low, high = np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])
    return np.stack([low, high], axis=1)


def groups_of(x: NDArray, of_sample: NDArray, picked: NDArray | None) -> Groups:
    """Of a batch x [N, ..., C] whose samples belong to groups `of_sample` (N,), in order; `picked`
    of its rows are sampled (None: all)."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    firsts = np.concatenate([[0], np.flatnonzero(of_sample[1:] != of_sample[:-1]) + 1])
    ends = np.empty((len(firsts), 2, rows.shape[-1]), x.dtype)
    np.minimum.reduceat(rows.min(axis=1), firsts, out=ends[:, 0])
    np.maximum.reduceat(rows.max(axis=1), firsts, out=ends[:, 1])
    of_row = of_sample.repeat(rows.shape[1])
    return Groups(ends, of_row if picked is None else of_row[picked], len(x))


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
    counts = np.bincount(groups.of_row, minlength=len(groups.ends))
    each = max(1, min(_ROWS // len(counts), int(counts.min())))
    spread = np.arange(each)[:, None] * ((counts - 1) / max(1, each - 1))  # [R, G]
    if each > 1:
        spread[-1] = counts - 1  # exactly
    mine = groups.of_row.argsort(kind="stable")
    return rows[mine[(counts.cumsum() - counts + spread.astype(int)).T]]


def _others(groups: NDArray, symmetric: bool) -> Range:
    """Extremes [G, 1, C] of all groups but one."""
    own = np.eye(len(groups), dtype=np.bool_)[:, :, None]
    ends = groups.astype(np.float64)
    low = np.where(own, np.inf, ends[:, 0]).min(axis=1, keepdims=True)
    high = np.where(own, -np.inf, ends[:, 1]).max(axis=1, keepdims=True)
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
    known: dict[int, float] = {}

    def cost(which: int) -> float:
        if which not in known:
            some = _TRIALS[which : which + at_once(held.parts.size)]
            factor, share = (some[:, i, None, None, None] for i in (0, 1))
            costs = held.costs(*_widened(*others, factor, share, positive), levels)
            known.update(enumerate(costs, which))
        return known[which]

    best, least = 0, cost(0)  # as they are
    enough = _WORTH * least
    for first in range(0, len(_TRIALS), len(_FACTORS)):
        before = least
        for which in range(max(first, 1), first + len(_FACTORS)):
            error = cost(which)
            if error >= least:
                if _TRIALS[which, 0] > _TRIALS[best, 0]:
                    break
                continue
            best, least = which, error
        if first and least == before:
            break
    factor, share = _TRIALS[best if least < enough else 0].tolist()
    return factor, share


def _widened(
    low: NDArray, high: NDArray, factor: float | NDArray, share: float | NDArray, positive: bool
) -> Range:
    """About the middle; what is never negative has room above alone."""
    width = high - low
    widest = width.max(axis=-1, keepdims=True)
    more = np.maximum(width * factor, share * widest) - width
    return (low, high + more) if positive else (low - more / 2, high + more / 2)
