"""Function tables against the functions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.ir.functions import function
from mcuformer.ir.int_ops_linear import TABLE_INTERVALS, between
from mcuformer.ir.types import QParams
from mcuformer.quant.tables import INDEX_ENTRIES, IndexTable, index_table, value_table

X = np.linspace(-40, 40, 20001)


def read(table: IndexTable, x: NDArray, dtype: str) -> NDArray:
    """As an epilogue reads it."""
    index = np.floor(x / table.scale + table.zero + 0.5)
    index = np.clip(index, 0, (1 << table.bits) - 1).astype(np.int64)
    found = table.data[index] if dtype == "int8" else between(table.data, index, table.bits - 12)
    return found.astype(float)


@pytest.mark.parametrize(
    "fn",
    [
        "gelu",
        "gelu_tanh",
        "quick_gelu",
        "tanh",
        "sigmoid",
        "silu",
        "hardswish",
        "mish",
        "softplus",
        "celu(0.5)",
        "selu(1.6, 1.05)",
    ],
)
@pytest.mark.parametrize(("dtype", "scale", "zero"), [("int8", 0.02, -119), ("int16", 3e-4, 0)])
def test_index_table_follows_the_function_everywhere(
    fn: str, dtype: str, scale: float, zero: int
) -> None:
    """Ends included: beyond the table the output no longer changes."""
    out = QParams(np.asarray(scale), np.asarray(float(zero)))
    table = index_table(fn, out, dtype)
    want = out.quantise(function(fn)(X), dtype).astype(float)
    steps = 1 if dtype == "int8" else 3  # the corners of hardswish lie between two entries
    assert len(table.data) == INDEX_ENTRIES[dtype]
    assert np.abs(read(table, X, dtype) - want).max() <= steps


@pytest.mark.parametrize("fn", ["leaky_relu(0.1)", "celu(0.5)", "selu(1.6, 1.05)"])
def test_a_corner_at_0_is_an_entry(fn: str) -> None:
    out = QParams(np.asarray(3e-4), np.asarray(-1234.0))
    table = index_table(fn, out, "int16")
    assert table.zero % (1 << (table.bits - TABLE_INTERVALS)) == pytest.approx(0, abs=1e-6)
    near = np.linspace(-0.02, 0.02, 4001)
    want = out.quantise(function(fn)(near), "int16").astype(float)
    assert np.abs(read(table, near, "int16") - want).max() <= 1


def test_sums_far_out_of_the_table_leave_a_coarser_index() -> None:
    out = QParams(np.asarray(3e-4), np.asarray(0.0))
    table = index_table("tanh", out, "int16")
    for reach, bits, wider in ((1e2, 20, 1), (1e5, 14, 1), (1e9, 12, 2048)):
        coarse = table.within(reach, table.scale)
        assert coarse.bits == bits and reach / coarse.scale < 2**28
        span = table.scale * 2.0**table.bits
        assert coarse.scale * 2.0**coarse.bits == pytest.approx(wider * span)
        x = np.linspace(-8, 8, 1001)
        assert (
            np.abs(read(coarse, x, "int16") - read(table, x, "int16")).max()
            <= 2 + coarse.scale / 3e-4
        )


def test_an_index_is_no_finer_than_sums_have_multipliers_for() -> None:
    table = index_table("exp", QParams(np.asarray(0.05), np.asarray(0.0)), "int16")
    coarse = table.within(1.0, 5 * table.scale)
    assert coarse.bits == table.bits - 3 and coarse.scale == 8 * table.scale
    np.testing.assert_array_equal(coarse.data, table.data)


@pytest.mark.parametrize(("dtype", "zero"), [("int8", -128), ("int16", 0)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 2e4, 1e9])
def test_a_steep_function_is_looked_at_where_it_changes(
    scale: float, dtype: str, zero: int
) -> None:
    """exp on steps of 20,000 changes between 10 and 22, and the range for all steps is 10 million."""
    out = QParams(np.asarray(scale), np.asarray(float(zero)))
    table = index_table("exp", out, dtype)
    assert (table.data.min(), table.data.max()) == (zero, np.iinfo(dtype).max)
    x = np.log(scale) + np.linspace(-3, 4, 1001)
    want = out.quantise(np.exp(x), dtype).astype(float)
    assert np.abs(read(table, x, dtype) - want).max() <= 1 + 0.01 * (want.max() - zero)


def test_a_small_slope_is_followed_to_where_its_output_ends() -> None:
    """128 steps of 0.1 below zero are 1280 at a slope of 0.01."""
    out = QParams(np.asarray(0.1), np.asarray(-120.0))
    table = index_table("leaky_relu(0.01)", out, "int8")
    x = np.linspace(-90, 20, 1001)
    want = out.quantise(np.where(x < 0, 0.01 * x, x), "int8").astype(int)
    assert np.abs(read(table, x, "int8") - want).max() <= 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_an_exponential_is_infinite_far_out(dtype: str) -> None:
    """Where float64 overflows, the largest number is stored, without a warning."""
    out = QParams(np.asarray(0.5), np.asarray(0.0))
    table = index_table("exp", out, dtype)
    top = np.iinfo(dtype).max
    assert read(table, np.asarray([800.0]), dtype) == pytest.approx(top, abs=1)


def test_value_tables() -> None:
    x8, y8 = (QParams(np.asarray(s), np.asarray(z)) for s, z in ((0.05, 3.0), (0.01, -100.0)))
    q = np.arange(-128, 128)
    table = value_table("tanh", x8, "int8", y8, "int8")
    assert np.array_equal(table, y8.quantise(np.tanh(x8.dequantise(q)), "int8"))
    x16 = QParams(np.asarray(2e-4), np.asarray(0.0))
    q = np.arange(-32768, 32768)
    for fn, y, dtype in (("tanh", y8, "int8"), ("gelu", x16, "int16")):
        table = value_table(fn, x16, "int16", y, dtype)
        got = between(table, q + 32768, 4).astype(int)
        got = got if dtype == "int16" else np.minimum((got + 128) >> 8, 127)
        want = y.quantise(function(fn)(x16.dequantise(q)), dtype).astype(int)
        assert np.abs(got - want).max() <= 1
        assert (got == want).mean() > (0.99 if dtype == "int8" else 0.6)
