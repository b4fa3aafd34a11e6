"""Ranges from samples."""

import numpy as np
from numpy.typing import NDArray

from mcuformer.quant.calibrate import ValueStats
from mcuformer.quant.ranges import rounding_error, value_range


def stats(rows: NDArray) -> ValueStats:
    return ValueStats(rows.min(axis=0), rows.max(axis=0), rows.astype(np.float32))


NORMAL = np.random.default_rng(0).normal(size=(4000, 3))
ROWS = (NORMAL * [1.0, 2.0, 5.0] + [0.0, 1.0, 0.0]).astype(np.float32)


def test_minmax_is_all_of_it() -> None:
    low, high = value_range(stats(ROWS), "minmax", 256, per_channel=True)
    np.testing.assert_allclose(low, ROWS.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(high, ROWS.max(axis=0), rtol=1e-6)
    low, high = value_range(stats(ROWS), "minmax", 256, per_channel=False)
    assert low == ROWS.min() and high == ROWS.max()


def test_percentile_drops_an_outlier() -> None:
    rows = ROWS.copy()
    rows[0] = 1000.0
    high = value_range(stats(rows), "percentile", 256, per_channel=True)[1]
    assert (high < 500).all() and (high >= np.sort(ROWS, axis=0)[-4]).all()


def test_mse_clips_outliers_and_nothing_else() -> None:
    rows = ROWS.copy()
    rows[0, 2] = 60.0
    high = value_range(stats(rows), "mse", 16, per_channel=True)[1]
    assert 10 < high[2] < 50
    shared = value_range(stats(rows), "mse", 16, per_channel=False)
    full = (rows.min(), rows.max())
    sample = rows.astype(np.float32)
    assert rounding_error(sample, *shared, 16, None) <= rounding_error(sample, *full, 16, None)


def test_symmetric() -> None:
    low, high = value_range(stats(ROWS), "mse", 255, per_channel=True, symmetric=True)
    np.testing.assert_allclose(low, -high)


def test_weights_decide_whose_error_counts() -> None:
    rows = ROWS.copy()
    rows[:, 2] = np.sign(rows[:, 2]) * np.abs(rows[:, 2]) ** 2
    one, other = (
        value_range(stats(rows), "mse", 256, per_channel=False, weights=np.array(w))[1]
        for w in ([1.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    )
    assert one < other


def test_constant_value_still_has_a_range() -> None:
    low, high = value_range(stats(np.full((10, 2), 3.0)), "mse", 256, per_channel=True)
    assert (high > low).all()


def test_given_ranges_are_not_searched() -> None:
    value = stats(ROWS)
    value.low, value.high, value.given = np.full(3, -1.0), np.full(3, 1.0), True
    low, high = value_range(value, "mse", 256, per_channel=True)
    assert (low == -1).all() and (high == 1).all()
