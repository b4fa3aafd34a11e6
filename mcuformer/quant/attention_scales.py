"""Scales of q, k, v and of the attention's output: free per channel where linear layers write them.

q and k: scores need s_q[c] * s_k[c] = sigma for all channels of a head; k may be centred (what that
adds to every key's score cancels in softmax). v: its centre and scale pass through P V unchanged,
so the output has scale s_v / ratio with one ratio per head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.types import QParams
from mcuformer.quant.calibrate import ValueStats
from mcuformer.quant.ranges import value_range

_SHRINK = (1.0, 0.92, 0.84, 0.76, 0.68, 0.6, 0.52)
_RATIOS = 2.0 ** np.arange(0.0, 4.01, 0.125)


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """Largest magnitudes that q, k and v may take as integers (both signs)."""

    q: int
    k: int
    v: int


def exchange(
    q: ValueStats, k: ValueStats, heads: int, limits: Magnitudes, method: str
) -> tuple[QParams, QParams]:
    """Per-channel (C,) parameters of q (zero point 0) and k (any), s_q * s_k constant per head."""
    k_low, k_high = value_range(k, method, 2 * limits.k + 1, per_channel=True)
    centre = (k_low + k_high) / 2
    q_abs = value_range(q, method, 2 * limits.q + 1, per_channel=True, symmetric=True)[1]
    q_step = _floored(q_abs / limits.q, heads)
    k_step = _floored((k_high - k_low) / 2 / limits.k, heads)
    q_energy = np.square(q.rows, dtype=np.float64).mean(axis=0) + 1e-18
    k_energy = np.var(k.rows, axis=0, dtype=np.float64) + 1e-18
    k_rows = k.rows - centre.astype(np.float32)
    s_q, s_k = np.empty_like(q_step), np.empty_like(k_step)
    for head in np.split(np.arange(len(q_step)), heads):
        best = np.inf
        product = float(np.max(q_step[head] * k_step[head]))
        for shrink in _SHRINK if method == "mse" and limits.q < 256 else (1.0,):
            sigma = shrink * product
            lowest, highest = q_step[head], sigma / k_step[head]
            step = np.sqrt(sigma) * (q_energy[head] / k_energy[head]) ** 0.25
            middle = np.sqrt(lowest * highest)  # clips both alike where sigma is too small
            step = np.where(lowest > highest, middle, np.clip(step, lowest, highest))
            noise = float(
                np.sum(
                    _error(q.rows[:, head], step, limits.q) * k_energy[head]
                    + _error(k_rows[:, head], sigma / step, limits.k) * q_energy[head]
                )
            )
            if noise < best:
                best, s_q[head], s_k[head] = noise, step, sigma / step
    return QParams(s_q, np.zeros_like(s_q)), QParams(s_k, -centre / s_k)


def _floored(step: NDArray, heads: int) -> NDArray[np.float64]:
    """At least 1/256 of the coarsest step of the head, and not zero."""
    per_head = step.reshape(heads, -1)
    least = np.maximum(per_head.max(axis=1, keepdims=True) / 256, 1e-9)
    return np.maximum(per_head, least).reshape(-1)


def _error(rows: NDArray, step: NDArray, limit: int) -> NDArray:
    """Mean squared rounding and clipping error per channel."""
    s = step.astype(np.float32)
    return np.square(rows - s * np.clip(np.rint(rows / s), -limit, limit)).mean(axis=0)


def value_scales(
    v: ValueStats,
    out: ValueStats,
    heads: int,
    limits: Magnitudes,
    out_limit: int,
    method: str,
    weights: NDArray | None,
) -> tuple[QParams, NDArray[np.float64]]:
    """Per-channel parameters of v and the ratio s_v / s_out per head.

    A step of v averages out over the keys (kappa ~ sum of squared probabilities), a step of the
    output does not; both steps and v's centre are chosen for the least sum of the two errors.
    """
    v_low, v_high = value_range(v, method, 2 * limits.v, per_channel=True)
    o_low, o_high = value_range(out, method, 2 * out_limit, per_channel=True)
    power = np.ones_like(v_low) if weights is None else weights
    kappa = np.var(out.rows, axis=0) / (np.var(v.rows, axis=0) + 1e-12)
    scale, centre = np.empty_like(v_low), np.empty_like(v_low)
    ratio = np.empty(heads)
    for h, head in enumerate(np.split(np.arange(len(v_low)), heads)):
        averaging = float(np.clip(kappa[head].mean(), 1e-3, 1.0))
        best = np.inf
        for r in _RATIOS:
            error, step, middle = _best_centre(
                (v_low[head], v_high[head]), (o_low[head], o_high[head]), r, limits.v, out_limit
            )
            noise = float(np.sum(error * (1 + averaging * r * r) * power[head]))
            if noise < best:
                best, ratio[h] = noise, r
                scale[head], centre[head] = step * r, middle
    return QParams(scale, -centre / scale), ratio


def _best_centre(
    v: tuple[NDArray, NDArray], out: tuple[NDArray, NDArray], r: float, v_limit: int, out_limit: int
) -> tuple[NDArray, NDArray, NDArray]:
    """(step^2, step, centre) of the output: v's middle or the output's, whichever allows less."""
    best = np.full_like(v[0], np.inf)
    chosen = np.zeros_like(v[0])
    for centre in ((v[0] + v[1]) / 2, (out[0] + out[1]) / 2):
        reach_v = np.maximum(v[1] - centre, centre - v[0])
        reach_out = np.maximum(out[1] - centre, centre - out[0])
        step = np.maximum(reach_out / out_limit, reach_v / (v_limit * r))
        step = np.maximum(step, max(float(step.max()) / 256, 1e-9))
        chosen = np.where(step < best, centre, chosen)
        best = np.minimum(step, best)
    return np.square(best), best, chosen


def snap_ratio(ratio: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...], NDArray]:
    """(o_mant, o_exp, the exact ratio) per head: ratio = mant * 2^(15 - exp), mant 15 bits."""
    exponent = np.floor(np.log2(ratio)).astype(np.int64)
    mant = np.minimum(np.floor(ratio * 2.0 ** (14 - exponent) + 0.5), 32767).astype(np.int64)
    exact = mant * 2.0 ** (exponent - 14)
    return tuple(map(int, mant)), tuple(int(29 - e) for e in exponent), exact
