"""Weights fitted to the integers that really arrive: regression, rounding with feedback, bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcuformer.quant.gptq import Feedback, feedback, gptq, round_weights, searched, weight_scale
from mcuformer.util.speed import together

ROW_LIMIT = 16384  # rows that enter the moments
_ROWS_PER_INPUT = 2  # from here on covariances are taken as they were seen
_HIDDEN = (
    4.0  # times the variance of an input in the rows of a fit is below that of all calibration
)
_FEW = 4  # times the rows of a half are fewer than inputs: then their product is the smaller one
_RIDGES = (1.0, 0.1, 0.01, 0.001)  # of the mean input variance


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """Centred integer inputs x[R, K] (float32), their mean and covariance xx[K, K]."""

    x: NDArray[np.float32]
    mean: NDArray[np.float64]
    xx: NDArray[np.float64]

    @staticmethod
    def of(x: NDArray) -> Half:
        mean = _means(x)
        centred = x - mean.astype(np.float32)
        return Half(centred, mean, (centred.T @ centred).astype(np.float64) / len(x))

    @property
    def factor(self) -> NDArray[np.float64]:
        """F[R, K] with xx = F^T F."""
        return self.x.astype(np.float64) / np.sqrt(len(self.x))

    def with_targets(self, y: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(covariance [K, N] with the reals y[R, N], their mean)."""
        mean = _means(y)
        centred = y - mean.astype(np.float32)
        return (self.x.T @ centred).astype(np.float64) / len(y), mean


def _means(rows: NDArray) -> NDArray[np.float64]:
    """Of the columns of rows [R, K]; numpy's own takes twice the time for few."""
    total: NDArray[np.float64] = np.add.reduce(rows, axis=0, dtype=np.float64)
    return total / len(rows)


class InputRows:
    """Integer rows x[R, K] that arrive at a layer, and what all layers that read them share.

    One half fits, the other tests; a single row does both. `usual` (K,): variances in all calibration
    samples, of which these are the rows of a few.
    """

    def __init__(self, x: NDArray, usual: NDArray | None = None) -> None:
        self._usual = usual
        self.half = (len(x) + 1) // 2
        self.fit = Half.of(x[: self.half])
        self.test = Half.of(x[self.half :]) if self.half < len(x) else self.fit
        self.share = (len(x) - self.half) / len(x)
        self._distinct = distinct_rows(x)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        return self.fit.mean + self.share * (self.test.mean - self.fit.mean)

    @cached_property
    def xx(self) -> NDArray[np.float64]:
        """The covariance of all rows."""
        moved = self.test.mean - self.fit.mean
        return self.joined(self.fit.xx, self.test.xx, moved[:, None] * moved)

    def factor(self) -> NDArray[np.float64]:
        """F[R + 1, K] with xx = F^T F."""
        moved = np.sqrt(self.share * (1 - self.share)) * (self.test.mean - self.fit.mean)
        halves = np.sqrt(1 - self.share) * self.fit.factor, np.sqrt(self.share) * self.test.factor
        return np.concatenate([*halves, moved[None]])

    def joined(self, fit: NDArray, test: NDArray, between: NDArray) -> NDArray:
        """A covariance of all rows from those of the halves and the product of their means' gaps."""
        share = self.share
        return (1 - share) * fit + share * test + share * (1 - share) * between

    @cached_property
    def seen(self) -> NDArray[np.float64]:
        """xx, its covariances less the fewer rows they were seen in: what moves no output of a few
        rows moves those of the next. An input that hardly moves in them and does in others counts with
        its usual variance, else its weight would be free."""
        share, own = min(1.0, self._distinct / (_ROWS_PER_INPUT * len(self.xx))), np.diag(self.xx)
        found = share * self.xx
        np.einsum("ii->i", found)[...] += (1 - share) * own
        if self._usual is not None and np.any(self._usual > _HIDDEN * own):
            found += np.diag(np.where(self._usual > _HIDDEN * own, self._usual - own, 0.0))
        return found

    @cached_property
    def feedback(self) -> Feedback:
        return feedback(self.seen)


@dataclass(frozen=True, slots=True)
class IntWeights:
    """w[K,N] integers (as float64), scale (N,), real bias (N,): y ~ x @ (w * scale) + bias."""

    w: NDArray[np.float64]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]


class Rounding(Protocol):
    """How the weights of layers by name become integers, where a network is not lowered for itself."""

    def __call__(
        self, name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None
    ) -> IntWeights:
        """Of real w[K, N] per step of the input and bias (N,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """What arrives at a layer, and the reals y[R, N] that it should give."""

    rows: InputRows
    y: NDArray


def alone(name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None) -> IntWeights:
    """For this network by itself."""
    return plain(w, bias, bits) if seen is None else fitted(w, seen.rows, seen.y, bits)


def taken(w: NDArray, scale: NDArray, bias: NDArray, seen: Arrived | None) -> IntWeights:
    """Integers w[K, N] as they are, with the bias that suits what was seen."""
    if seen is not None:
        bias = seen.y.mean(axis=0, dtype=np.float64) - seen.rows.mean @ (w * scale)
    return IntWeights(w, scale, bias)


def plain(w: NDArray, bias: NDArray, bits: int) -> IntWeights:
    """Without data: the nearest integers."""
    scale = weight_scale(w, bits)
    return IntWeights(round_weights(w, scale, bits), scale, bias)


def fitted(w: NDArray, rows: InputRows, y: NDArray, bits: int) -> IntWeights:
    """w[K,N] adapted so that the integer inputs best give the reals y[R,N]."""
    fit_xy, fit_mean = rows.fit.with_targets(y[: rows.half])
    test_xy, test_mean = fit_xy, fit_mean
    if rows.test is not rows.fit:
        test_xy, test_mean = rows.test.with_targets(y[rows.half :])
    y_mean = fit_mean + rows.share * (test_mean - fit_mean)
    between = (rows.test.mean - rows.fit.mean)[:, None] * (test_mean - fit_mean)
    missed = (
        fit_xy - rows.fit.xx @ w,
        test_xy - rows.test.xx @ w,
        rows.joined(fit_xy, test_xy, between) - rows.xx @ w,
    )
    better = w + _correction(rows, *missed)
    if bits < 8:
        q, scale = searched(better, rows.seen, rows.feedback, bits)
    else:
        scale = weight_scale(better, bits, np.diag(rows.seen))
        q = gptq(better, rows.feedback, scale, bits)
    return IntWeights(q, scale, y_mean - rows.mean @ (q * scale))


def fitted_apart(w: NDArray, rows: Sequence[InputRows], y: NDArray, bits: int) -> IntWeights:
    """The same of w[K,N] in groups: N / groups outputs see the rows [R,K] of their group."""
    ws, ys = (np.split(a, len(rows), axis=1) for a in (w, y))
    parts = [fitted(wg, of, yg, bits) for wg, of, yg in zip(ws, rows, ys, strict=True)]
    return IntWeights(
        np.concatenate([p.w for p in parts], axis=1),
        np.concatenate([p.scale for p in parts]),
        np.concatenate([p.bias for p in parts]),
    )


def picked(count: int) -> slice | NDArray[np.intp]:
    """Of `count` rows those that enter the moments, the same for inputs and targets."""
    if count <= ROW_LIMIT:
        return slice(None)
    return np.sort(np.random.default_rng(0).permutation(count)[:ROW_LIMIT])


def distinct_rows(x: NDArray) -> int:
    """Different rows of integers x[R,K]: a token that is repeated is seen once."""
    sums = np.sort(x.astype(np.int64) @ _random(x.shape[1]))  # modulo 2^64
    return 1 + int(np.count_nonzero(sums[1:] != sums[:-1])) if len(sums) else 0


@lru_cache(maxsize=16)
def _random(count: int) -> NDArray[np.int64]:
    made = np.random.default_rng(0).integers(1 << 62, size=count)
    made.flags.writeable = False
    return made


def _correction(rows: InputRows, fit: NDArray, test: NDArray, both: NDArray) -> NDArray:
    """Ridge regression of what x @ w misses, whose covariances [K, N] with x these are; the ridge
    that predicts the other half best, or none.

    Rounded inputs err in ways that the weights can partly undo; with few rows they cannot, and
    the held-out half says so. Trials in float32: a ridge bounds the condition at 1000 K.
    """
    power = max(float(rows.xx.diagonal().mean()), 1e-12)
    fit_xx, test_xx, fit, test = (
        a.astype(np.float32) for a in (rows.fit.xx, rows.test.xx, fit, test)
    )
    best, least = 0.0, 0.0
    few = _FEW * len(rows.fit.x) < len(fit_xx)
    factor = rows.fit.factor if few else None
    ridges: tuple[float, ...] = _RIDGES if rows.test is not rows.fit else ()
    twice = 2 * test
    for some in together(len(ridges), fit_xx.size):
        moved = _ridge(fit_xx, fit, [ridge * power for ridge in ridges[some]], factor)
        parts = moved * (test_xx @ moved - twice)
        for ridge, part in zip(ridges[some], parts, strict=True):
            loss = float(part.sum(dtype=np.float64))
            if loss < least:
                best, least = ridge, loss
    if not best:
        return np.zeros_like(both)
    return _ridge(rows.xx, both, [best * power], rows.factor() if few else None)[0]


def _ridge(xx: NDArray, xy: NDArray, ridges: Sequence[float], factor: NDArray | None) -> NDArray:
    """[ridges, K, N] in the precision of xx[K, K] and xy[K, N]; by xx = F^T F of R < K rows, where there
    is such a `factor` (Woodbury): R^3 steps, not K^3."""
    each = np.array(ridges)[:, None]
    if factor is not None:
        small = (factor @ factor.T)[None].repeat(len(ridges), axis=0)
        np.einsum("rii->ri", small)[...] += each
        inside = factor.T @ np.linalg.solve(small, factor @ xy)
        return np.asarray((xy - inside) / each[:, None], xy.dtype)
    damped = xx[None].repeat(len(ridges), axis=0)
    np.einsum("rii->ri", damped)[...] += each.astype(xx.dtype)
    return np.linalg.solve(damped, xy)
