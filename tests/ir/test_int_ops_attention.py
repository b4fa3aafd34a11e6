"""Attention and softmax in integers: reciprocals, the table of exp, rows beside the real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from util_int_ops import RNG, i8, run

from mcuformer.ir.graph import Builder
from mcuformer.ir.int_ops_attention import EXP, reciprocal
from mcuformer.ir.types import TensorType
from mcuformer.operators.interpreter import run_int
from mcuformer.validate.metrics import sqnr_db


@settings(max_examples=300)
@given(st.integers(1, 2**31 - 1))
def test_reciprocal(total: int) -> None:
    r, n = reciprocal(np.array([total], np.int64))
    assert 2**16 < r[0] < 2**17 and n[0] == 32 - total.bit_length()
    assert abs(float(r[0]) * 2.0 ** (int(n[0]) - 48) * total - 1) < 2**-14


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_attention_is_close_to_the_float_one(dtype: type, bias: bool) -> None:
    h, d, tq, tk = 2, 8, 5, 11
    top = 127 if dtype is np.int8 else 2000
    q, k, v = (RNG.integers(-top, top + 1, (t, h * d)).astype(dtype) for t in (tq, tk, tk))
    step = 2.0 / top / math.sqrt(d) / 20
    added = RNG.normal(size=(h, tq, tk)) if bias else np.zeros((1, 1, 1))
    steps = np.rint(added * 2048 / 11).astype(np.int16) if bias else None
    m = round(step * 2048 / 11 * 2**32)
    b = Builder("attention", "int")
    names = [
        b.add_value("q", TensorType(q.shape, str(q.dtype))),
        b.const("k", k),
        b.const("v", v),
        None if steps is None else b.const("bias", steps),
    ]
    b.op(
        "q_attention",
        "y",
        names,
        TensorType(q.shape, str(q.dtype)),
        {
            "heads": h,
            "m": (m,) * h,
            "pre_shift": 0,
            "p_shift": 0,
            "o_mant": (2**14,) * h,
            "o_exp": (29,) * h,
        },
    )
    got = run_int(b.done(["q"], ["y"], {}), q)["y"]
    for i in range(h):
        part = slice(i * d, i * d + d)
        scores = (
            q[:, part].astype(float) @ k[:, part].T.astype(float) * step + added[i if bias else 0]
        )
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        want = p / p.sum(axis=1, keepdims=True) @ v[:, part].astype(float)
        assert np.abs(got[:, part] - want).max() < 0.6 + 0.003 * top


def test_softmax() -> None:
    x = i8(6, 40)
    attrs = {
        "m": round(0.05 * 2048 / 11 * 2**26),
        "pre_shift": 6,
        "o_mant": 2**14,
        "o_exp": 37,
        "zp": -128,
    }
    got = run("q_softmax", x, [], (6, 40), "int8", **attrs)
    p = np.exp(x * 0.05)
    assert np.abs((got.astype(int) + 128) / 256 - p / p.sum(axis=1, keepdims=True)).max() < 0.005


def test_softmax_of_int16() -> None:
    """Sixteenths of an entry: what is nearly even keeps what it differs by."""
    x = np.random.default_rng(5).integers(-512, 512, (6, 40)).astype(np.int16)
    attrs = {
        "m": round(2.0**-12 * 16 * 2048 / 11 * 2**32 / 4),
        "pre_shift": 2,
        "o_mant": 2**14,
        "o_exp": 27,
        "zp": 0,
    }
    got = run("q_softmax", x, [], (6, 40), "int16", **attrs).astype(float)
    p = np.exp(x * 2.0**-12)
    want = p / p.sum(axis=1, keepdims=True)
    found = sqnr_db(want - want.mean(), got / got.sum(axis=1, keepdims=True) - want.mean())
    assert found is not None and found > 55


def test_exp_table() -> None:
    assert EXP.dtype == np.uint16 and len(EXP) == 2048
    assert EXP[0] == 32679 and EXP[2047] == 0 and (np.diff(EXP.astype(int)) <= 0).all()
