"""4-bit integers that QuantizeLinear makes are cut at 4 bits; activations of 4 bits are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build import load, model, node, rand
from onnx import ModelProto, TensorProto, helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.interp_float import run_float

KINDS = {"signed": (TensorProto.INT4, -8, 7), "unsigned": (TensorProto.UINT4, 0, 15)}


def with_pair(source: str, kind: int, how: str) -> ModelProto:
    """`source`, "w" or "x", rounded to 4 bits in front of x @ w."""
    zero = helper.make_tensor("z", kind, [], [0])
    attrs = {"output_dtype": kind} if how == "attribute" else {}
    given = f"{source} s" if how == "attribute" else f"{source} s z"
    nodes = [
        node("QuantizeLinear", given, "q", **attrs),
        node("DequantizeLinear", "q s", "d"),
        node("MatMul", "x d" if source == "w" else "d w", "y"),
    ]
    if how == "node":
        nodes.insert(0, node("Constant", "", "z", value=zero))
    made = model(nodes, {"s": np.float32(0.2), "w": rand(8, 5, seed=1) * 2}, (1, 3, 8), opset=21)
    if how == "initialiser":
        made.graph.initializer.append(zero)
    return made


@pytest.mark.parametrize("how", ["initialiser", "node", "attribute"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_beyond_the_grid_are_cut(tmp_path: Path, kind: str, how: str) -> None:
    code, least, most = KINDS[kind]
    graph = load(tmp_path, with_pair("w", code, how))
    real = np.clip(np.rint(rand(8, 5, seed=1) * 2 / np.float32(0.2)), least, most) * 0.2
    x = rand(1, 3, 8, seed=9)
    np.testing.assert_allclose(run_float(graph, [x])[graph.outputs[0]], x[0] @ real, atol=1e-5)


def test_activations_of_four_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="8 or 16 bits, found 4"):
        load(tmp_path, with_pair("x", TensorProto.INT4, "initialiser"))
