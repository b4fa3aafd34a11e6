"""Weights fitted to the integers that really arrive: regression, rounding with feedback, bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.quant.gptq import gptq, round_weights, searched, weight_scale

ROW_LIMIT = 16384  # rows that enter the moments
_ROWS_PER_INPUT = 2  # from here on covariances are taken as they were seen
_RIDGES = (1.0, 0.1, 0.01, 0.001)  # of the mean input variance


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of centred integer inputs x[R,K] and real targets y[R,N], and their means."""

    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    x_mean: NDArray[np.float64]
    y_mean: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True)
class IntWeights:
    """w[K,N] integers (as float64), scale (N,), real bias (N,): y ~ x @ (w * scale) + bias."""

    w: NDArray[np.float64]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]


def moments(x: NDArray, y: NDArray) -> Moments:
    x_mean, y_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    xc, yc = (x - x_mean.astype(np.float32)), (y - y_mean.astype(np.float32))
    return Moments(
        (xc.T @ xc).astype(np.float64) / len(x),
        (xc.T @ yc).astype(np.float64) / len(x),
        x_mean,
        y_mean,
        len(x),
    )


def joined(a: Moments, b: Moments) -> Moments:
    """Moments of the rows of both."""
    rows = a.rows + b.rows
    share = b.rows / rows
    dx, dy = b.x_mean - a.x_mean, b.y_mean - a.y_mean
    between = share * (1 - share)
    return Moments(
        (1 - share) * a.xx + share * b.xx + between * np.outer(dx, dx),
        (1 - share) * a.xy + share * b.xy + between * np.outer(dx, dy),
        a.x_mean + share * dx,
        a.y_mean + share * dy,
        rows,
    )


def plain(w: NDArray, bias: NDArray, bits: int) -> IntWeights:
    """Without data: the nearest integers."""
    scale = weight_scale(w, bits)
    return IntWeights(round_weights(w, scale, bits), scale, bias)


def fitted(w: NDArray, x: NDArray, y: NDArray, bits: int) -> IntWeights:
    """w[K,N] adapted so that integer inputs x[R,K] (float32) best give the reals y[R,N]."""
    half = (len(x) + 1) // 2
    fit = moments(x[:half], y[:half])
    test = moments(x[half:], y[half:]) if half < len(x) else fit
    both = joined(fit, test)
    better = w + _correction(w, fit, test, both)
    seen = _trusted(both, _distinct(x))
    if bits < 8:
        q, scale = searched(better, seen, bits)
    else:
        scale = weight_scale(better, bits, np.diag(seen))
        q = gptq(better, seen, scale, bits)
    return IntWeights(q, scale, both.y_mean - both.x_mean @ (q * scale))


def _distinct(x: NDArray) -> int:
    """Different rows of integers x[R,K]: a token that is repeated is seen once."""
    weights = np.random.default_rng(0).integers(1 << 62, size=x.shape[1])
    return len(np.unique(x.astype(np.int64) @ weights))  # modulo 2^64


def _trusted(m: Moments, rows: int) -> NDArray[np.float64]:
    """m.xx, its covariances less the fewer rows they were seen in: what moves no output of a few
    rows moves those of the next."""
    share = min(1.0, rows / (_ROWS_PER_INPUT * len(m.xx)))
    return share * m.xx + (1 - share) * np.diag(np.diag(m.xx))


def _correction(w: NDArray, fit: Moments, test: Moments, both: Moments) -> NDArray:
    """Ridge regression of what x @ w misses; the ridge that predicts the other half best, or none.

    Rounded inputs err in ways that the weights can partly undo; with few rows they cannot, and
    the held-out half says so.
    """
    power = max(float(np.mean(np.diag(both.xx))), 1e-12)
    best, least = np.inf, _loss(test, w)
    for ridge in _RIDGES if test is not fit else ():
        loss = _loss(test, w + _ridge(fit, w, ridge * power))
        if loss < least:
            best, least = ridge, loss
    return np.zeros_like(w) if np.isinf(best) else _ridge(both, w, best * power)


def _ridge(m: Moments, w: NDArray, ridge: float) -> NDArray:
    return np.linalg.solve(m.xx + ridge * np.eye(len(m.xx)), m.xy - m.xx @ w)


def _loss(m: Moments, w: NDArray) -> float:
    """Mean squared error of x @ w less that of predicting nothing."""
    return float(np.sum(w * (m.xx @ w - 2 * m.xy)))
