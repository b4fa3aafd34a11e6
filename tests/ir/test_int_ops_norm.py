"""LayerNorm in integers: roots, and rows beside the real norm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from util_int_ops import RNG, i8, run

from mcuformer.ir.int_ops_norm import bit_length, inverse_root


@settings(max_examples=300)
@given(st.integers(1, 2**62 - 1))
def test_inverse_root(d: int) -> None:
    r, e = inverse_root(np.array([d], np.int64))
    assert 2**15 <= r[0] <= 2**16 and e[0] % 2 == 0
    real = float(r[0]) * 2.0 ** (-31 - int(e[0]) // 2) * math.sqrt(d)
    assert 1 - 2**-15 < real < 1 + 2**-14.9
    assert bit_length(np.array([d], np.int64))[0] == d.bit_length()


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("affine", [False, True])
def test_layernorm_is_within_one_step(groups: int, affine: bool) -> None:
    x, c, frac = i8(20, 32), 32, 16
    a, z = RNG.integers(20, 127, c).astype(np.int16), RNG.integers(-9, 9, c).astype(np.int16)
    size = c // groups
    scale = 1 / 30
    v = ((x.astype(float) - z) * a).reshape(20, groups, size)
    normal = (v - v.mean(-1, keepdims=True)) / v.std(-1, keepdims=True)
    g = RNG.integers(9000, 30000, c).astype(np.int16)
    b = RNG.integers(-(2**20), 2**20, c).astype(np.int32)
    top = size / (1.0 if affine else scale)
    exponent = math.floor(math.log2(top)) - 14
    f = 22 if affine else frac
    attrs = {
        "groups": groups,
        "eps_q": 1,
        "gain": math.floor(top * 2.0**-exponent),
        "gain_exp": 15 - f - exponent,
        "frac": f,
        "zp": 0 if affine else -7,
        "frac2": 16,
    }
    got = run(
        "q_layernorm",
        x,
        [a, z, g if affine else None, b if affine else None],
        (20, c),
        "int8",
        **attrs,
    )
    if affine:
        want = normal.reshape(20, c) * g * 2.0 ** (22 - 32) + b * 2.0**-16 - 0.5
    else:
        want = normal.reshape(20, c) / scale - 7
    assert np.abs(got - np.clip(want, -128, 127)).max() < 0.52


def test_constant_rows_normalise_to_zero() -> None:
    x = np.full((3, 16), 77, np.int8)
    got = run(
        "q_layernorm",
        x,
        [None, None, None, None],
        (3, 16),
        "int8",
        groups=1,
        eps_q=4,
        a=256,
        gain=2**14,
        gain_exp=0,
        frac=10,
        zp=5,
    )
    assert (got == 5).all()
