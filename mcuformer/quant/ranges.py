"""From sampled rows to a range: all, its percentiles, or where the squared error is least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.quant.calibrate import ValueStats
from mcuformer.quant.held_out import reaching, spacious

_PERCENT = 0.05  # each side
_CLIPPING = 4.0  # weight of squared clipping errors, measured (docs/quantisation.md)
_SAMPLE = 2**17  # numbers that decide a shared range
_CHANNEL_ROWS = 4096  # rows that decide the ranges of channels
_SHRINK = (1.0, 0.97, 0.94, 0.9, 0.86, 0.82, 0.78, 0.74, 0.7, 0.65, 0.6, 0.55, 0.5)
Range = tuple[NDArray[np.float64], NDArray[np.float64]]


def value_range(
    stats: ValueStats,
    method: str,
    levels: int,
    per_channel: bool,
    symmetric: bool = False,
    weights: NDArray | None = None,
    normalised: bool = False,
) -> Range:
    """(low, high), each (C,) or (), of a value that gets `levels` integer levels.

    `weights` (C,): how much a squared error in each channel matters when they share one range.
    `normalised`: a LayerNorm reads it, so that a row's errors count by the row's own size.
    """
    low, high = stats.low.astype(np.float64), stats.high.astype(np.float64)
    method = "minmax" if stats.given else method
    if method == "percentile":
        axis = 0 if per_channel else None
        low, high = np.percentile(stats.rows, [_PERCENT, 100 - _PERCENT], axis=axis)
    if not per_channel:
        low, high = np.asarray(np.min(low)), np.asarray(np.max(high))
    finest = stats.finest if per_channel else np.max(stats.finest)
    finest = np.zeros(()) if stats.given else finest
    low = np.minimum(low, 0.0 if symmetric else low)
    high = np.maximum(high, low + np.maximum(levels * finest, 1e-9))
    if symmetric:
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    if method == "mse" and levels <= 256:
        most = _CHANNEL_ROWS if per_channel else max(64, _SAMPLE // stats.rows.shape[1])
        if per_channel and stats.groups is not None:
            found = reaching(stats.groups, stats.rows, (low, high), levels, symmetric, normalised)
            if found is not None:
                return found
        rows = stats.rows[:: max(1, len(stats.rows) // most)]
        return search(rows, low, high, levels, symmetric, weights)
    if per_channel and levels > 256 and stats.groups is not None:
        return spacious(low, high)
    return np.asarray(low), np.asarray(high)


def rounding_error(
    rows: NDArray,
    low: NDArray,
    high: NDArray,
    levels: int,
    weights: NDArray | None,
) -> NDArray:
    """Mean squared error per channel, or of all channels together when the range is shared.

    What clipping adds counts more: within a row clipped values err together, rounding averages out.
    """
    step = np.maximum((high - low) / (levels - 1), 1e-30).astype(np.float32)
    exact = rows - np.asarray(low, np.float32)
    exact /= step
    within = np.clip(exact, 0, levels - 1)
    rounding, clipping = np.rint(within), np.subtract(within, exact, out=exact)
    rounding -= within
    rounding *= rounding
    clipping *= clipping
    clipping *= np.float32(_CLIPPING)
    rounding += clipping
    error = rounding.mean(axis=0) * np.square(step)
    if np.ndim(low):
        return error
    return error.mean() if weights is None else np.average(error, weights=weights)


def search(
    rows: NDArray,
    low: NDArray,
    high: NDArray,
    levels: int,
    symmetric: bool,
    weights: NDArray | None = None,
) -> Range:
    """Shrink both ends together, then the upper, then the lower, as long as the error falls."""
    best = (np.asarray(low, np.float64), np.asarray(high, np.float64))
    ends = [(1, 1)] if symmetric else [(1, 1), (0, 1), (1, 0), (0, 1)]
    error = rounding_error(rows, *best, levels, weights)
    for at_low, at_high in ends:
        start = best
        centre = np.zeros_like(start[0]) if symmetric else (start[0] + start[1]) / 2
        for factor in _SHRINK[1:]:
            shrunk = [centre + (end - centre) * factor for end in start]
            trial = (shrunk[0] if at_low else start[0], shrunk[1] if at_high else start[1])
            now = rounding_error(rows, *trial, levels, weights)
            better = now < error
            if not np.any(better):
                break
            error = np.where(better, now, error)
            best = (np.where(better, trial[0], best[0]), np.where(better, trial[1], best[1]))
    return best
