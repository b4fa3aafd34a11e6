"""Epilogue constants: exact rounding, and bounds that hold for every input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.errors import McuformerError
from mcuformer.ir.epilogue import LIMIT, Epilogue, Residual, least_scale, solve


def t_of(end: Epilogue, acc: int, res: int = 0) -> int:
    t = ((acc << end.acc_shift) * int(end.mult[0]) >> 32) + int(end.offset[0])
    return t + (res * int(end.rmult[0]) if end.rmult is not None else 0)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-7, 1e-3),
    st.floats(1e-3, 1.0),
    st.integers(-128, 127),
    st.integers(2**10, 2**26),
    st.booleans(),
    st.integers(-(2**31), 2**31),
)
def test_one_round_half_up_of_the_real_sum(
    acc_scale: float, scale: float, zero: int, bound: int, wide: bool, point: int
) -> None:
    end = solve(np.array([acc_scale]), np.array([bound]), np.array([scale]), np.array([zero]), wide)
    acc = point % (2 * bound + 1) - bound
    t = t_of(end, acc)
    assert abs(t) <= LIMIT and abs(acc << end.acc_shift) <= LIMIT
    exact = Fraction(acc * int(end.mult[0]), 2 ** (32 + end.shift - end.acc_shift)) + zero
    assert t >> end.shift == (exact + Fraction(1, 2)).__floor__()
    assert abs(float(exact) - (acc * acc_scale / scale + zero)) <= abs(acc) * 2.0**-32 + 1e-6


@settings(max_examples=100, deadline=None)
@given(st.floats(0.3, 1.0), st.integers(-128, 127), st.integers(-(10**5), 10**5))
def test_residual_is_one_sum(ratio: float, res: int, acc: int) -> None:
    residual = Residual(np.array([ratio]), np.array([7.0]), 128)
    end = solve(
        np.array([1e-3]), np.array([10**5]), np.array([1.0]), np.array([-3.0]), False, residual
    )
    got = t_of(end, acc, res) / 2**end.shift - 0.5
    want = acc * 1e-3 + ratio * (res - 7) - 3
    assert abs(got - want) < abs(res - 7) * 2.0 ** (-end.shift - 1) + 2.0 ** (2 - end.shift)
    worst = max(abs(t_of(end, a, r)) for a in (-(10**5), 10**5) for r in (-128, 127))
    assert worst <= LIMIT


def test_a_residual_of_16_bits_is_as_exact_as_the_sum() -> None:
    residual = Residual(np.array([3e-5]), np.array([0.0]), 32768)
    end = solve(
        np.array([1e-3]), np.array([10**5]), np.array([0.01]), np.array([0.0]), False, residual
    )
    assert end.shift >= 15  # half a step of rmult is a quarter of a step of y
    assert abs(t_of(end, 0, 32767) / 2**end.shift - 0.5 - 32767 * 3e-3) < 0.25


def test_constant_residual_is_exact_to_the_shift() -> None:
    rows = np.linspace(-5, 5, 12).reshape(6, 2)
    residual = Residual(np.ones(()), np.zeros(()), 32768, rows)
    end = solve(np.full(2, 1e-3), np.full(2, 10**5), np.full(2, 0.05), np.zeros(2), False, residual)
    assert end.res is not None and end.rmult is not None
    real = end.res * end.rmult / 2.0**end.shift * 0.05
    np.testing.assert_allclose(real, rows, atol=0.05 * 2.0**-end.shift * end.rmult.max())


def test_impossible_scales_are_an_error() -> None:
    with pytest.raises(
        McuformerError, match=r"fc1: .* gives it 1e-09, and the sums have steps of 1"
    ):
        solve(np.array([1.0]), np.array([2**30]), np.array([1e-9]), np.zeros(1), False, where="fc1")


@pytest.mark.parametrize("acc", (-(2**13), -1, 0, 1, 2**13))
def test_all_but_0_of_far_coarser_sums_saturates(acc: int) -> None:
    """As the mean of a LayerNorm over space, which is nothing, on the grid that a file gives it."""
    zero = np.full(1, 3.0)
    end = solve(np.ones(1), np.array([2**13]), np.array([1e-9]), zero, True, dtype="int8")
    got = np.clip(t_of(end, acc) >> end.shift, -128, 127)
    assert got == (3 if acc == 0 else np.sign(acc) * 128 - (acc > 0))


def test_the_finest_step_has_a_multiplier() -> None:
    for bound in (2**10, 2**20, 2**26):
        for unit in (1, 16):
            scale = least_scale(np.ones(1), np.array([bound]), unit)
            end = solve(
                np.ones(1), np.array([bound]), np.full(1, scale), np.zeros(1), True, unit=unit
            )
            assert end.mult[0] / 2.0 ** (32 + end.shift - end.acc_shift) == pytest.approx(1 / scale)
