"""The integer definition against plain arithmetic, number by number."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from util_int_ops import RNG, i8, i32, one_op, run

from mcuformer.errors import McuformerError, UsageError
from mcuformer.ir.graph import Builder
from mcuformer.ir.int_ops_linear import exact_matmul, hi
from mcuformer.ir.types import TensorType
from mcuformer.operators.interpreter import run_int


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_hi_is_the_floor_of_the_product(a: int, b: int) -> None:
    assert int(hi(np.int64(a), np.int64(b))) == math.floor(Fraction(a * b, 2**32))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_exact_matmul(dtype: type) -> None:
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max + 1, (5, 300)).astype(dtype)
    w = RNG.integers(-128, 128, (300, 7)).astype(np.int8)
    assert np.array_equal(exact_matmul(x, w), x.astype(np.int64) @ w.astype(np.int64))


def linear_case(n: int, k: int, rows: int) -> tuple:
    return (i8(rows, k), i8(n, k), i32(-9999, 9999, n), i32(2**27, 2**30, n), i32(-99, 99, n))


def test_linear_is_one_round_half_up() -> None:
    x, w, bias, mult, zero = linear_case(6, 17, 9)
    shift = 7
    offset = (zero << shift) + (1 << (shift - 1))
    got = run(
        "q_linear",
        x,
        [w, bias, mult, offset, None, None, None],
        (9, 6),
        "int8",
        x_zp=3,
        shift=shift,
    )
    for i in range(9):
        for n in range(6):
            acc = int(bias[n]) + sum((int(a) - 3) * int(b) for a, b in zip(x[i], w[n], strict=True))
            real = Fraction(acc * int(mult[n]), 2 ** (32 + shift)) + int(zero[n])
            assert got[i, n] == max(-128, min(127, math.floor(real + Fraction(1, 2))))


def test_linear_residual_table_and_clamps() -> None:
    x, w, bias, mult, offset = linear_case(6, 17, 9)
    res, rmult = i8(9, 6), i32(0, 300, 6)
    plain = [w, bias, mult, offset]
    t = (hi(bias + x.astype(int) @ w.T.astype(int), mult) + offset) + res.astype(int) * rmult
    got = run(
        "q_linear",
        x,
        [*plain, res, rmult, None],
        (9, 6),
        "int16",
        x_zp=0,
        shift=2,
        clamp_min=-50,
        clamp_max=60,
    )
    assert np.array_equal(got, np.clip(t >> 2, -50, 60))
    table = i8(256)
    got = run(
        "q_linear", x, [*plain, res, rmult, table], (9, 6), "int8", x_zp=0, shift=2, table_bits=8
    )
    assert np.array_equal(got, table[np.clip(t >> 2, 0, 255)])


def test_int16_tables_are_read_between_their_entries() -> None:
    x, w, bias, mult, offset = linear_case(6, 17, 9)
    table = RNG.integers(-32768, 32768, 4097).astype(np.int16)
    t = hi(bias + x.astype(int) @ w.T.astype(int), mult) + offset
    for bits in (12, 15, 20):
        consts = [w, bias, mult, offset, None, None, table]
        got = run("q_linear", x, consts, (9, 6), "int16", x_zp=0, shift=2, table_bits=bits)
        index = np.clip(t >> 2, 0, (1 << bits) - 1) / 2.0 ** (bits - 12)
        exact = np.interp(index, np.arange(4097), table.astype(float))
        assert np.array_equal(got, np.floor(exact + 0.5))
    x16 = RNG.integers(-32768, 32768, (7, 5)).astype(np.int16)
    exact = np.interp((x16 + 32768.0) / 16, np.arange(4097), table.astype(float))
    exact = np.floor(exact + 0.5)
    assert np.array_equal(run("q_unary", x16, [table], (7, 5), "int16"), exact)
    narrow = np.minimum(np.floor(exact / 256 + 0.5), 127)
    assert np.array_equal(run("q_unary", x16, [table], (7, 5), "int8"), narrow)


def test_linear_in_chunks_adds_scaled_chunks() -> None:
    x = RNG.integers(-32768, 32768, (4, 24)).astype(np.int16)
    _, w, bias, mult, offset = linear_case(5, 24, 1)
    consts = [w, bias, mult, offset, None, None, None]
    got = run("q_linear", x, consts, (4, 5), "int16", x_zp=0, shift=6, k_split=(8, 20))
    t = offset.astype(np.int64)
    for first, last in ((0, 8), (8, 20), (20, 24)):
        acc = x[:, first:last].astype(np.int64) @ w[:, first:last].T.astype(np.int64)
        t = t + hi(acc + (bias if first == 0 else 0), mult)
    assert np.array_equal(got, np.clip(t >> 6, -32768, 32767))


def test_overflow_is_an_error_not_a_wrap() -> None:
    x = np.full((1, 4000), 32767, np.int16)
    w, big = np.full((1, 4000), 127, np.int8), np.array([2**30], np.int32)
    with pytest.raises(McuformerError, match="int32"):
        run("q_linear", x, [w, big, big, big, None, None, None], (1, 1), "int8", x_zp=0, shift=4)


@pytest.mark.parametrize("stride", [1, 2])
def test_conv2d_and_depthwise_pad_with_the_zero_point(stride: int) -> None:
    x, pads = i8(5, 6, 3), (1, 1, 1, 1)
    ho, wo = (5 - 1) // stride + 1, (6 - 1) // stride + 1
    w, bias = i8(4, 27), i32(-99, 99, 4)
    mult, offset = i32(2**24, 2**26, 4), i32(0, 9, 4)
    attrs = {
        "kernel": (3, 3),
        "strides": (stride, stride),
        "pads": pads,
        "shift": 3,
        "x_zp": 5,
        "pad_value": (5, 7, -9),
    }
    got = run(
        "q_conv2d", x, [w, bias, mult, offset, None, None, None], (ho, wo, 4), "int8", **attrs
    )
    image = np.empty((7, 8, 3), np.int64)
    image[:] = attrs["pad_value"]
    image[1:-1, 1:-1] = x
    deep = run(
        "q_dwconv2d",
        x,
        [w[:3, :9], bias[:3], mult[:3], offset[:3], None, None, None],
        (ho, wo, 3),
        "int8",
        **attrs,
    )
    for i in range(ho):
        for j in range(wo):
            patch = image[i * stride : i * stride + 3, j * stride : j * stride + 3] - 5
            acc = w.astype(int) @ patch.reshape(-1) + bias
            assert np.array_equal(got[i, j], np.clip(hi(acc, mult) + offset >> 3, -128, 127))
            acc = (w[:3, :9].astype(int) * patch.reshape(9, 3).T).sum(axis=1) + bias[:3]
            want = np.clip(hi(acc, mult[:3]) + offset[:3] >> 3, -128, 127)
            assert np.array_equal(deep[i, j], want)


def test_patch_embedding_leaves_a_partial_patch() -> None:
    x = RNG.integers(0, 256, (9, 8, 3)).astype(np.uint8)
    w, ones = i8(4, 48), np.full(4, 2**26, np.int32)
    attrs = {"kernel": (4, 4), "strides": (4, 4), "shift": 3, "x_zp": 128}
    consts = [w, i32(-9, 9, 4), ones, ones >> 20, None, None, None]
    full = run("q_patch_embed", x, consts, (4, 4), "int8", **attrs)
    cut = run("q_patch_embed", x[:8], consts, (4, 4), "int8", **attrs)
    assert np.array_equal(full, cut)


def test_add_requant_mul_mean() -> None:
    x, y = i8(7, 5), i8(7, 5)
    ma, mb, offset = i32(1, 999, 5), i32(1, 999, 5), i32(-999, 999, 5)
    t = x.astype(int) * ma + y.astype(int) * mb + offset >> 9
    assert np.array_equal(
        run("q_add", x, [y, ma, mb, offset], (7, 5), "int8", shift=9), np.clip(t, -128, 127)
    )
    terms = [x.astype(int) * ma + offset >> 9, y.astype(int) * mb - offset >> 9]
    got = run("q_max", x, [y, ma, mb, offset, -offset], (7, 5), "int8", shift=9)
    assert np.array_equal(got, np.clip(np.maximum(*terms), -128, 127))
    assert np.array_equal(run("q_max", x, [y], (7, 5), "int8"), np.maximum(x, y))
    t = x.astype(int) * ma + offset >> 9
    assert np.array_equal(run("q_requant", x, [ma, offset], (7, 5), "int16", shift=9), t)
    mult = i32(2**28, 2**30, 5)
    t = hi((x.astype(int) - 3) * (y.astype(int) + 4) << 6, mult) + offset >> 5
    got = run("q_mul", x, [y, mult, offset], (7, 5), "int8", a_zp=3, b_zp=-4, acc_shift=6, shift=5)
    assert np.array_equal(got, np.clip(t, -128, 127))
    t = hi(x.astype(int).sum(axis=0) + ma << 8, mult) + offset >> 5
    got = run("q_mean", x, [ma, mult, offset], (1, 5), "int16", acc_shift=8, shift=5)
    assert np.array_equal(got, t[None])


def test_unary_and_maxpool() -> None:
    x, table = i8(7, 5), i8(256)
    assert np.array_equal(run("q_unary", x, [table], (7, 5), "int8"), table[x.astype(int) + 128])
    image = i8(4, 4, 2)
    got = run(
        "q_maxpool", image, [], (2, 2, 2), "int8", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 0, 0)
    )
    assert np.array_equal(got[0, 0], image[:2, :2].max(axis=(0, 1)))
    assert np.array_equal(got[1, 1], image[1:4, 1:4].max(axis=(0, 1)))


def test_batches_equal_single_inputs() -> None:
    """Moves and rows with a batch axis in front."""
    b = Builder("moves", "int")
    x = b.add_value("x", TensorType((6, 4), "int8"))
    cat = b.op(
        "concat", "cat", [b.const("c", i8(1, 4)), x], TensorType((7, 4), "int8"), {"axis": 0}
    )
    cut = b.op(
        "slice", "cut", [cat], TensorType((3, 4), "int8"), {"axis": 0, "start": 0, "stop": 3}
    )
    col = b.op(
        "slice", "col", [cut], TensorType((3, 2), "int8"), {"axis": 1, "start": 1, "stop": 3}
    )
    row = b.op("gather", "row", [col], TensorType((2, 2), "int8"), {"indices": (2, 0)})
    flat = b.op("reshape", "flat", [row], TensorType((1, 4), "int8"), {"shape": (1, 4)})
    graph = b.done([x], [flat], {})
    data = i8(3, 6, 4)
    batch = run_int(graph, data)
    for i in range(3):
        for name, value in run_int(graph, data[i]).items():
            assert np.array_equal(batch[name][i], value)


def test_an_input_of_the_wrong_type() -> None:
    graph = one_op("q_unary", i8(2, 3), [i8(256)], (2, 3), "int8")
    with pytest.raises(UsageError, match=r"int8\[2x3\]"):
        run_int(graph, np.zeros((2, 3), np.uint8))
    with pytest.raises(UsageError, match=r"int8\[2x3\]"):
        run_int(graph, i8(3, 3))
