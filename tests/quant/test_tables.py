"""Function tables against the functions."""

import numpy as np
import pytest

from mcuformer.ir.functions import function
from mcuformer.ir.types import QParams
from mcuformer.quant.tables import index_table, value_table

X = np.linspace(-40, 40, 20001)


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
    index = np.clip(np.floor(X / table.scale + table.zero + 0.5), 0, len(table.data) - 1)
    got = table.data[index.astype(int)].astype(float)
    want = out.quantise(function(fn)(X), dtype).astype(float)
    steps = 1 if dtype == "int8" else 8 + table.scale / scale
    assert len(table.data) == 1 << table.bits
    assert np.abs(got - want).max() <= steps


def test_a_small_slope_is_followed_to_where_its_output_ends() -> None:
    """128 steps of 0.1 below zero are 1280 at a slope of 0.01."""
    out = QParams(np.asarray(0.1), np.asarray(-120.0))
    table = index_table("leaky_relu(0.01)", out, "int8")
    x = np.linspace(-90, 20, 1001)
    index = np.clip(np.floor(x / table.scale + table.zero + 0.5), 0, len(table.data) - 1)
    want = out.quantise(np.where(x < 0, 0.01 * x, x), "int8").astype(int)
    assert np.abs(table.data[index.astype(int)].astype(int) - want).max() <= 1


def test_value_tables() -> None:
    x8, y8 = (QParams(np.asarray(s), np.asarray(z)) for s, z in ((0.05, 3.0), (0.01, -100.0)))
    q = np.arange(-128, 128)
    table = value_table("tanh", x8, "int8", y8, "int8")
    assert np.array_equal(table, y8.quantise(np.tanh(x8.dequantise(q)), "int8"))
    x16 = QParams(np.asarray(2e-4), np.asarray(0.0))
    table = value_table("tanh", x16, "int16", y8, "int8")
    q = np.arange(-32768, 32768)
    error = y8.dequantise(table[(q + 32768) >> 4]) - np.clip(
        np.tanh(x16.dequantise(q)), -0.28, 2.27
    )
    assert np.abs(error).max() < 0.01 / 2 + 8 * 2e-4
