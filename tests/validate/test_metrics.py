"""mcuformer/validate/metrics.py against hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.validate.metrics import agreement, cosine, rmse, sqnr_db

REFERENCE = np.array([[3.0, 4.0], [0.0, 5.0]], np.float32)


def test_sqnr() -> None:
    assert sqnr_db(REFERENCE, REFERENCE * 1.1) == pytest.approx(20.0, abs=1e-5)
    assert sqnr_db(REFERENCE, REFERENCE) is None
    assert sqnr_db(np.zeros(3), np.ones(3)) is None


def test_cosine() -> None:
    assert cosine(REFERENCE, np.array([[4.0, 3.0], [0.0, 1.0]])) == pytest.approx((0.96 + 1) / 2)
    assert cosine(REFERENCE, np.zeros((2, 2))) is None


def test_rmse_and_agreement() -> None:
    got = np.array([[4.0, 3.0], [0.0, 5.0]])
    assert rmse(REFERENCE, got) == pytest.approx(np.sqrt(0.5))
    assert agreement(REFERENCE, got, classifies=True).top1_percent == 50.0
    assert agreement(REFERENCE, got, classifies=False).top1_percent is None
