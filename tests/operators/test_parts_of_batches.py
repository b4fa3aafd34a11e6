"""Long batches and arrays are computed in parts: the numbers stay, the memory is bounded."""

import tracemalloc

import numpy as np
import pytest
import util_models as models

from mcuformer.ir import functions
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators import interpreter
from mcuformer.operators.interpreter import run_int, run_op
from mcuformer.quant import calibrate, lower

VARIANTS = [{}, {"pool": "mean"}, {"qk_norm": True, "attention_bias": True}, {"rank": 6}]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_batch_in_parts_is_the_batch(variant: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = models.VitConfig(**variant)
    graph, x = models.vit(cfg), models.images(cfg, 5)
    made = lower(graph, calibrate(graph, x))
    type_ = made.type(made.inputs[0])
    ints = np.random.default_rng(0).integers(-128, 128, (5, *type_.shape)).astype(type_.dtype)
    whole = run_int(made, ints)
    for numbers in (1, 2 * max(np.prod(v.type.shape) for v in made.values.values())):
        monkeypatch.setattr(interpreter, "_NUMBERS", int(numbers))
        parts = run_int(made, ints)
        assert all(np.array_equal(parts[name], whole[name]) for name in whole)
    first = run_int(made, ints[0])
    assert all(np.array_equal(first[name], whole[name][0]) for name in whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "softplus"])
def test_a_function_in_blocks_is_the_function(name: str, dtype: str) -> None:
    x = np.random.default_rng(1).normal(0, 3, (3, 7, 1001)).astype(dtype)
    got = functions.function(name)(x)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, functions.FUNCTIONS[name].evaluate(x))


def wide_layer(rows: int, n: int) -> Graph:
    """One q_linear of n inputs and outputs."""
    arrays = {
        "w": np.ones((n, n), np.int8),
        "bias": np.zeros(n, np.int32),
        "mult": np.full(n, 1 << 20, np.int32),
        "offset": np.zeros(1, np.int32),
    }
    values = {k: Value(k, TensorType(a.shape, str(a.dtype)), a) for k, a in arrays.items()}
    values |= {k: Value(k, TensorType((rows, n), "int8")) for k in ("x", "y")}
    op = Op("q_linear", "y", ("x", *arrays, None, None, None), ("y",), {"x_zp": 0, "shift": 0})
    return Graph("", "int", ("x",), ("y",), (op,), values)


def test_memory_does_not_grow_with_the_batch() -> None:
    graph, peaks = wide_layer(64, 256), []
    for count in (32, 256):
        x = np.ones((count, 64, 256), np.int8)
        tracemalloc.start()
        y = run_op(graph, graph.ops[0], {"x": x})
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * y.nbytes)  # the parts, and all
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 24 << 20
