"""One offset for all rows: what rows differ by is in their biases, and no more is lost than a bias rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.epilogue import Residual
from mcuformer.quant.refine import IntWeights
from mcuformer.quant.row_numbers import RowTarget, solved

K, N, REACH = 24, 12, 256


def made(seed: int, spread: float = 1.0, **target: Any) -> tuple[IntWeights, RowTarget]:
    """A layer of weights whose rows differ by up to e^`spread` in scale."""
    rng = np.random.default_rng(seed)
    scale = 2e-5 * np.exp(rng.uniform(-spread, spread, N))
    weights = IntWeights(np.rint(rng.uniform(-127, 127, (K, N))), scale, rng.normal(0, 0.5, N))
    usual: dict[str, Any] = {
        "scale": np.asarray(0.02), "zero": np.asarray(3.0), "dtype": "int8", "reach": REACH,
        "residual": None, "index_bits": 0, "unit": 1, "where": "fc",
    }  # fmt: skip
    return weights, RowTarget(**{**usual, **target})


def outputs(weights: IntWeights, target: RowTarget, x: np.ndarray, res: np.ndarray) -> np.ndarray:
    """In steps of y, not cut, from the integers; bits below the result are kept."""
    w, bias, chunks, end = solved(weights, target)
    assert end.offset.shape == (1,) and len(chunks) == 1
    acc = (x @ w.T.astype(np.int64) + bias) << end.acc_shift
    t = (acc * end.mult.astype(np.int64) >> 32) + end.offset - (1 << (end.shift - 1))
    if end.rmult is not None:
        t = t + res * end.rmult.astype(np.int64)
    return np.asarray(t * 2.0**-end.shift)


@given(st.integers(0, 99), st.sampled_from(["int8", "int16"]), st.booleans(), st.booleans())
def test_rows_keep_their_own_zero_points(seed: int, dtype: str, apart: bool, added: bool) -> None:
    rng = np.random.default_rng(seed)
    step = 0.02 if dtype == "int8" else 2e-4
    zero = rng.uniform(-90, 90, N) if apart else np.asarray(rng.uniform(-90, 90))
    residual = None
    if added:
        residual = Residual(step * rng.uniform(0.5, 2, N), rng.integers(-99, 99, N) * 1.0, 128)
    weights, target = made(seed, scale=np.asarray(step), zero=zero, dtype=dtype, residual=residual)
    x, res = rng.integers(-128, 128, (8, K)), rng.integers(-128, 128, (8, N))
    real = x @ (weights.w * weights.scale) + weights.bias
    if residual is not None:
        real = real + residual.scale * (res - residual.zero)
    got = outputs(weights, target, x, res)
    acc_step = np.abs(weights.scale).max() / step  # what a bias rounds to, in steps of y
    multiplier = 0.0 if residual is None else 2.0**-8 * 227  # of the residual, rounded
    assert got == pytest.approx(real / step + zero, abs=0.51 * acc_step + multiplier + 0.3)


def test_a_row_that_never_moves_keeps_its_value() -> None:
    """No weights, or hardly any: its bias has coarser steps."""
    weights, target = made(0, zero=np.linspace(-100, 100, N))
    weights.w[:, 3] = 0
    weights.scale[3:5] = 1e-30, 1e-12
    x = np.zeros((1, K), np.int64)
    got = outputs(weights, target, x, np.zeros((1, N), np.int64))
    assert got[0] == pytest.approx(weights.bias / target.scale + target.zero, abs=0.3)


def test_one_far_zero_point_is_in_the_biases() -> None:
    """An output that is nearly constant: the bias lies as far out, and they cancel."""
    weights, target = made(1, zero=np.asarray(1e6))
    weights.bias[:] = -1e6 * float(target.scale)
    _w, bias, _chunks, end = solved(weights, target)
    assert np.abs(bias).max() <= 1 and end.offset.tolist() == [1 << (end.shift - 1)]


def test_a_result_without_a_multiplier_is_refused() -> None:
    weights, target = made(2, scale=np.asarray(1e-12), dtype="int16")
    with pytest.raises(OutOfRangeError, match="fc"):
        solved(weights, target)
