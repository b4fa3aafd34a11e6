"""Weights fitted to integer inputs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.quant.gptq import (
    GRID,
    feedback,
    gptq,
    output_error,
    round_weights,
    searched,
    weight_scale,
)
from mcuformer.quant.refine import (
    InputRows,
    IntWeights,
    _ridge,
    fitted,
    fitted_apart,
    plain,
)


def correlated(rows: int, k: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, k)) @ rng.normal(size=(k, k)) + rng.normal(size=k)).astype("f4")


def test_moments_of_halves_join_to_those_of_all() -> None:
    x = correlated(101, 6, 0)
    rows = InputRows(x)
    np.testing.assert_allclose(rows.mean, x.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows.xx, np.cov(x.T, bias=True), rtol=1e-4, atol=1e-4)


def by_inverse(w: NDArray, hessian: NDArray, scale: NDArray, bits: int) -> NDArray:
    """GPTQ as Frantar et al. write it, weight by weight."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    damped = hessian[np.ix_(order, order)] + 0.01 * np.mean(np.diag(hessian)) * np.eye(len(w))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, q = w[order].copy(), np.empty_like(w)
    for i, row in enumerate(order):
        q[row] = round_weights(left[i], scale, bits)
        left[i + 1 :] -= np.outer(upper[i, i + 1 :], (left[i] - scale * q[row]) / upper[i, i])
    return q


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq_is_that_of_the_inverse(bits: int) -> None:
    x, w = correlated(500, 150, 2), np.random.default_rng(3).normal(size=(150, 9))
    hessian, scale = np.cov(x.T, bias=True), weight_scale(w, bits)
    got = gptq(w, feedback(hessian), scale, bits)
    np.testing.assert_array_equal(got, by_inverse(w, hessian, scale, bits))


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq_moves_the_output_less_than_rounding(bits: int) -> None:
    x, w = correlated(500, 70, 2), np.random.default_rng(3).normal(size=(70, 9))
    scale = weight_scale(w, bits)
    xc = x - x.mean(axis=0)
    hessian = (xc.T @ xc).astype(np.float64) / len(x)
    errors = []
    for q in (gptq(w, feedback(hessian), scale, bits), round_weights(w, scale, bits)):
        assert (
            np.array_equal(q, np.rint(q)) and GRID[bits][0] <= q.min() <= q.max() <= GRID[bits][1]
        )
        errors.append(np.square(xc @ (q * scale - w)).mean())
    assert errors[0] < 0.5 * errors[1]


def test_the_search_for_4_bits_beats_one_scale() -> None:
    x, w = correlated(500, 70, 2), np.random.default_rng(3).normal(size=(70, 9))
    xc = x - x.mean(axis=0)
    hessian = (xc.T @ xc).astype(np.float64) / len(x)
    scale = weight_scale(w, 4, np.diag(hessian))
    once = output_error(gptq(w, feedback(hessian), scale, 4) * scale - w, hessian)
    q, scale = searched(w, hessian, feedback(hessian), 4)
    assert np.array_equal(q, np.rint(q)) and GRID[4][0] <= q.min() <= q.max() <= GRID[4][1]
    best = output_error(q * scale - w, hessian)
    assert (best <= once * 1.001).all() and best.sum() < 0.9 * once.sum()


def test_bias_takes_the_mean_error() -> None:
    x, w = correlated(300, 8, 4), np.random.default_rng(5).normal(size=(8, 4))
    y = (x @ w + 3.0).astype("f4")
    done = fitted(w, InputRows(x), y, 4)
    assert np.abs((x @ (done.w * done.scale) + done.bias - y).mean(axis=0)).max() < 1e-3


def test_fit_undoes_what_is_predictable_in_the_input_error() -> None:
    x, w = correlated(400, 8, 6), np.random.default_rng(7).normal(size=(8, 4))
    shrunk = (0.9 * x).astype("f4")  # inputs that arrive 10 % too small
    y = (x @ w).astype("f4")
    done = fitted(w, InputRows(shrunk), y, 8)
    error = np.square(shrunk @ (done.w * done.scale) + done.bias - y).mean()
    assert error < 0.01 * np.square(shrunk @ w - y).mean()


def test_one_row_does_not_change_the_weights() -> None:
    w = np.random.default_rng(8).normal(size=(8, 4))
    x = np.ones((1, 8), np.float32)
    done = fitted(w, InputRows(x), (x @ w).astype("f4"), 8)
    np.testing.assert_allclose(done.w * done.scale, w, atol=2 * done.scale.max())


def test_plain_rounds_to_nearest() -> None:
    w = np.array([[1.0, -0.5], [0.26, 0.0]])
    done = plain(w, np.zeros(2), 8)
    assert np.abs(done.w * done.scale - w).max() <= done.scale.max() / 2


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("share", [0.25, 0.75, 1.0, 2.0])
def test_few_rows_cost_nothing_on_other_rows(bits: int, share: float) -> None:
    """What GPTQ learnt from fewer rows than inputs is no better than rounding, but no worse."""
    rng, k = np.random.default_rng(8), 48
    w = rng.normal(size=(k, 32))
    x, other = (np.rint(40 * rng.normal(size=(n, k))).astype("f4") for n in (int(k * share), 2000))

    def error_db(done: IntWeights) -> float:
        missed = other @ (done.w * done.scale - w) + done.bias
        return 10 * np.log10(float(np.square(missed).mean()))

    for seen in (x, np.repeat(x, 9, axis=0)):  # a row that is repeated is seen once
        done = fitted(w, InputRows(seen), (seen @ w).astype("f4"), bits)
        assert error_db(done) < error_db(plain(w, np.zeros(32), bits)) + 2


def test_the_groups_of_a_convolution_are_fitted_each_by_itself() -> None:
    rng = np.random.default_rng(4)
    x, w = correlated(400, 12, 4), rng.normal(size=(4, 6))
    apart = np.split(x, 3, axis=1)
    y = np.concatenate([xg @ wg for xg, wg in zip(apart, np.split(w, 3, axis=1), strict=True)], 1)
    made = fitted_apart(w, [InputRows(xg) for xg in apart], y.astype("f4"), 8)
    for g in range(3):
        outs = slice(2 * g, 2 * g + 2)
        alone = fitted(w[:, outs], InputRows(apart[g]), y[:, outs].astype("f4"), 8)
        np.testing.assert_array_equal(made.w[:, outs], alone.w)
        np.testing.assert_array_equal(made.bias[outs], alone.bias)
        error = apart[g] @ (alone.w * alone.scale) + alone.bias - y[:, outs]
        assert error.std() < 0.01 * y.std()


def test_few_rows_are_solved_by_rows() -> None:
    x = correlated(24, 300, 6)
    rows = InputRows(x)
    np.testing.assert_allclose(rows.factor().T @ rows.factor(), rows.xx, atol=1e-3)
    xy = rows.xx @ np.random.default_rng(7).normal(size=(300, 5))
    for ridge in (0.3, 300.0):
        by_inputs = _ridge(rows.xx, xy, [ridge], None)
        by_rows = _ridge(rows.xx, xy, [ridge], rows.factor())
        np.testing.assert_allclose(by_rows, by_inputs, atol=1e-3)


@pytest.mark.parametrize("bits", [4, 8])
def test_an_input_that_hardly_moves_in_the_fit_keeps_its_weight(bits: int) -> None:
    """A gate that is shut in all rows of the fit, and open in other calibration samples."""
    x, w = correlated(400, 16, 5), np.random.default_rng(6).normal(size=(16, 40))
    seen, usual = x.copy(), x.var(axis=0, dtype=np.float64)
    seen[:, 3] = 0.25
    made = fitted(w, InputRows(seen, usual), (seen @ w).astype("f4"), bits)
    free = fitted(w, InputRows(seen), (seen @ w).astype("f4"), bits)

    def missed(found: IntWeights) -> float:
        return float(np.square(x @ (found.w * found.scale) + found.bias - x @ w).mean())

    assert missed(made) < missed(plain(w, np.zeros(40), bits))
    assert missed(made) < missed(free) / 2
