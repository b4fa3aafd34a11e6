"""Weights to integers: a scale per output channel, and rounding that corrects earlier rounding.

GPTQ (Frantar et al., 2023): weights are rounded input by input; the error of each is spread over
the inputs not yet rounded so that the layer's output moves least, given the inputs' covariance.
4 bits are worth more: `searched` tries many scales under that measure, then descends weight by weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.util.speed import together

GRID: Mapping[int, tuple[int, int]] = {8: (-127, 127), 4: (-8, 7)}  # by bits of a weight
_DAMPING = 0.01  # of the mean diagonal
_BLOCK = 64
SHRINK: Mapping[int, tuple[float, ...]] = {8: (1.0, 0.97, 0.94, 0.9, 0.85, 0.8),
           4: (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)}  # fmt: skip
_SWEEPS = 3

Weights = NDArray[np.float64]


def full_scale(w: Weights, bits: int) -> Weights:
    """Scale (N,) of w[K, N] at which nothing is clipped."""
    low, high = GRID[bits]
    return np.maximum(np.maximum(w.max(axis=0) / high, w.min(axis=0) / low), 1e-30)


def weight_scale(w: Weights, bits: int, energy: NDArray | None = None) -> Weights:
    """Scale (N,) of w[K, N] with the least squared error; `energy` (K,) of the inputs."""
    factors = np.reshape(SHRINK[bits], (-1, 1, 1))
    scales = factors * full_scale(w, bits)
    power = np.ones(len(w)) if energy is None else energy
    errors = [power @ np.square(w - scales[some] * round_weights(w, scales[some], bits))
              for some in together(len(scales), w.size)]  # fmt: skip
    best = np.concatenate(errors).argmin(axis=0)
    found: Weights = scales[best, 0, np.arange(len(best))]
    return found


def round_weights(w: Weights, scale: NDArray, bits: int) -> Weights:
    """Nearest integers, still as float64."""
    low, high = GRID[bits]
    found = np.rint(w / scale)
    np.maximum(found, low, out=found)
    return np.minimum(found, high, out=found)


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """How errors are passed on, for inputs with given second moments; all layers that read these
    inputs share it.

    `order` [K]: inputs as they are rounded, the strongest first. `passed` [K, K] in that order:
    an error e of the j-th weight adds e * passed[j, i] to the i-th, i > j.
    """

    order: NDArray[np.intp]
    passed: Weights


def feedback(hessian: NDArray) -> Feedback:
    """Of second moments [K, K].

    With H = R R^T and R upper triangular, errors e cost |R^T e|^2, and the i-th of these numbers
    knows only e_0 .. e_i: each weight in turn makes its own as small as it can. That is GPTQ (it
    works with R's inverse), for a sixth of the arithmetic.
    """
    order = (-hessian.diagonal()).argsort(kind="stable")
    back = order[::-1]
    damped = hessian[back[:, None], back].astype(np.float64)
    diagonal = np.einsum("ii->i", damped)
    diagonal += _DAMPING * max(float(diagonal.mean()), 1e-12)
    upper = np.linalg.cholesky(damped)[::-1, ::-1]
    return Feedback(order, np.ascontiguousarray(upper / upper.diagonal()))


def gptq(w: Weights, via: Feedback, scale: NDArray, bits: int) -> Weights:
    """Integers of w[K, N]; scale (N,) or [K, N]."""
    k = len(w)
    wanted = w[via.order].astype(np.float64)
    scales = scale[via.order] if scale.ndim > 1 else [scale] * k
    result, errors = np.empty_like(wanted), np.empty_like(wanted)
    for first in range(0, k, _BLOCK):
        last = min(first + _BLOCK, k)
        left = wanted[first:last] + via.passed[:first, first:last].T @ errors[:first]
        for i, row in enumerate(left, first):
            row += via.passed[first:i, i] @ errors[first:i]
            result[i] = round_weights(row, scales[i], bits)
            errors[i] = wanted[i] - scales[i] * result[i]
    restored = np.empty_like(result)
    restored[via.order] = result
    return restored


def searched(w: Weights, hessian: NDArray, via: Feedback, bits: int) -> tuple[Weights, Weights]:
    """(integers [K, N], scale (N,)) that move the outputs of w[K, N] least: per channel the best of
    several clipped scales under GPTQ, then coordinate descent on scale and integers in turns."""
    factors = np.asarray(SHRINK[bits])
    n = w.shape[1]
    scales = (factors[:, None] * full_scale(w, bits)).reshape(-1)
    found = gptq(np.concatenate([w] * len(factors), axis=1), via, scales, bits)
    tried, steps = found.reshape(len(w), -1, n).swapaxes(0, 1), scales.reshape(-1, 1, n)
    errors = [output_error(np.ascontiguousarray(tried[some] * steps[some] - w), hessian)
              for some in together(len(factors), w.size)]  # fmt: skip
    best = np.concatenate(errors).argmin(axis=0) * n + np.arange(n)
    return descend(w, found[:, best], scales[best], hessian, bits)


def output_error(error: Weights, hessian: NDArray) -> Weights:
    """Mean squared output error [..., N] of a weight error [..., K, N]."""
    return np.einsum("...kn,...kn->...n", error, hessian @ error)


def descend(
    w: Weights, q: Weights, scale: Weights, hessian: NDArray, bits: int
) -> tuple[Weights, Weights]:
    """The least-squares scale, then each integer to where the output error is least; repeated."""
    q = q.copy()
    for _ in range(_SWEEPS):
        seen = hessian @ q
        power, along = (q * seen).sum(axis=0), (w * seen).sum(axis=0)
        scale = np.where((power > 0) & (along > 0), along / np.maximum(power, 1e-30), scale)
        if not _sweep(w, q, scale, hessian, bits):
            break
    return q, scale


def _sweep(w: Weights, q: Weights, scale: Weights, hessian: NDArray, bits: int) -> bool:
    """Every row of q once, in place; whether any moved. Blocks, so that most work is one product."""
    error, moved = q * scale - w, False
    for first in range(0, len(w), _BLOCK):
        rows = slice(first, first + _BLOCK)
        own = hessian[rows, rows]
        slope = hessian[rows] @ error
        for i, diagonal in enumerate(np.maximum(own.diagonal(), 1e-30)):
            k = first + i
            step = round_weights(q[k] * scale - slope[i] / diagonal, scale, bits) - q[k]
            if step.any():
                moved = True
                slope += np.outer(own[:, i], step * scale)
                q[k] += step
        error[rows] = q[rows] * scale - w[rows]
    return moved
