"""Limits of attention's operands: sums of scores and of P V stay inside int32."""

import numpy as np
import pytest

from mcuformer.ir.graph import Builder
from mcuformer.ir.types import TensorType, Value
from mcuformer.quant.attention_grids import attention_p_shift, operand_limits


@pytest.mark.parametrize("keys", [1, 49, 197, 1025, 5000])
@pytest.mark.parametrize(("dtype", "least"), [("int8", 128), ("int16", 1024)])
def test_probabilities_give_up_as_few_bits_as_the_proof_allows(keys, dtype, least):
    shift = attention_p_shift(dtype, keys)
    assert (32767 >> shift) * keys * least < 2**31
    assert shift == 0 or (32767 >> (shift - 1)) * keys * least >= 2**31


@pytest.mark.parametrize(("tokens", "width", "heads"), [(4, 8, 2), (197, 192, 3), (50, 768, 1)])
def test_sums_at_the_limits_fit_into_int32(tokens, width, heads):
    b, row = Builder("g", "float"), TensorType((tokens, width), "float32")
    b.values["x"] = Value("x", row)
    b.op("attention", "a", ["x", "x", "x"], row, {"heads": heads, "scale": 1.0})
    graph = b.done(["x"], ["a"], {})
    limits = operand_limits(graph, graph.ops[0], "int16")
    p = 32767 >> attention_p_shift("int16", tokens)
    assert limits.q * limits.k * (width // heads) < 2**31 and limits.v * p * tokens < 2**31
    assert np.all(np.array([limits.q, limits.k, limits.v]) >= 1024)
    bytes_ = operand_limits(graph, graph.ops[0], "int8")
    assert (bytes_.q, bytes_.k, bytes_.v) == (127, 127, 127)
