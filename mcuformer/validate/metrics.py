"""How far integer logits are from float logits. Arrays are [N, classes] or any equal shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Agreement:
    """`sqnr_db` is None where signal or error is zero, `top1_percent` where there are no scores."""

    samples: int
    sqnr_db: float | None
    cosine: float | None
    rmse: float
    top1_percent: float | None


def sqnr_db(reference: NDArray, got: NDArray) -> float | None:
    """10 log10(sum ref^2 / sum (ref - got)^2) over everything; None where either is zero."""
    ref, noise = _float(reference), _float(reference) - _float(got)
    power = float(np.sum(noise * noise))
    signal = float(np.sum(ref * ref))
    return 10 * math.log10(signal / power) if signal and power else None


def cosine(reference: NDArray, got: NDArray) -> float | None:
    """Mean over the samples (first axis) of the cosine between them; None where one is all zero."""
    a, b = _rows(reference), _rows(got)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not np.all(norms > 0):
        return None
    return float(np.mean(np.sum(a * b, axis=1) / norms))


def rmse(reference: NDArray, got: NDArray) -> float:
    return float(np.sqrt(np.mean((_float(reference) - _float(got)) ** 2)))


def top1(scores: NDArray) -> NDArray[np.intp]:
    """Index of the largest score of each sample; the first of equals."""
    return np.argmax(_rows(scores), axis=1)


def percent(hits: NDArray) -> float:
    return 100 * float(np.mean(hits))


def agreement(reference: NDArray, got: NDArray, classifies: bool) -> Agreement:
    """All figures at once; `classifies` when a sample's output is one list of scores."""
    return Agreement(
        len(reference),
        sqnr_db(reference, got),
        cosine(reference, got),
        rmse(reference, got),
        percent(top1(reference) == top1(got)) if classifies else None,
    )


def _float(a: NDArray) -> NDArray[np.float64]:
    return np.asarray(a, np.float64)


def _rows(a: NDArray) -> NDArray[np.float64]:
    return _float(a).reshape(len(a), -1)
