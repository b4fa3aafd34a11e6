"""Weights to integers: a scale per output channel, and rounding that corrects earlier rounding.

GPTQ (Frantar et al., 2023): weights are rounded input by input; the error of each is spread over
the inputs not yet rounded so that the layer's output moves least, given the inputs' covariance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DAMPING = 0.01  # of the mean diagonal
_BLOCK = 64
_SHRINK = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8)

Weights = NDArray[np.float64]


def weight_scale(w: Weights, limit: int, energy: NDArray | None = None) -> NDArray[np.float64]:
    """Scale (N,) of w[K, N] with the least squared error; `energy` (K,) of the inputs."""
    full = np.maximum(np.abs(w).max(axis=0), 1e-30) / limit
    power = np.ones(len(w)) if energy is None else energy
    best, least = full, np.full(w.shape[1], np.inf)
    for shrink in _SHRINK:
        scale = full * shrink
        error = power @ np.square(w - scale * round_weights(w, scale, limit))
        best = np.where(error < least, scale, best)
        least = np.minimum(error, least)
    return best


def round_weights(w: Weights, scale: NDArray, limit: int) -> Weights:
    """Nearest integers, still as float64."""
    return np.clip(np.rint(w / scale), -limit, limit)


def gptq(w: Weights, hessian: NDArray, scale: NDArray, limit: int) -> Weights:
    """Integers of w[K, N] for inputs with second moments `hessian` [K, K]; scale (N,) or [K, N]."""
    k = len(w)
    order = np.argsort(-np.diag(hessian), kind="stable")
    damped = hessian[np.ix_(order, order)].astype(np.float64)
    damped[np.diag_indices(k)] += _DAMPING * max(float(np.mean(np.diag(damped))), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = w[order].astype(np.float64)
    scales = np.broadcast_to(scale, w.shape)[order]
    result = np.empty_like(left)
    for first in range(0, k, _BLOCK):
        last = min(first + _BLOCK, k)
        errors = np.empty((last - first, w.shape[1]))
        for i in range(first, last):
            result[i] = round_weights(left[i], scales[i], limit)
            error = (left[i] - scales[i] * result[i]) / upper[i, i]
            left[i + 1 : last] -= np.outer(upper[i, i + 1 : last], error)
            errors[i - first] = error
        left[last:] -= upper[first:last, last:].T @ errors
    inverse = np.empty_like(order)
    inverse[order] = np.arange(k)
    return result[inverse]
