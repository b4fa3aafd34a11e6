"""How TensorFlow spells a normalisation, in every order of its operands."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.text import parse_graph
from mcuformer.passes.factor_norm_scale import factor_norm_scale
from mcuformer.passes.fuse_layernorm import fuse_layernorm

HEAD = """
graph g onnx
input x: float32[1x4x6]
const eps: float32[] = 0.001
const g: float32[6] = rand(1)
const b: float32[6] = rand(2)
m = ReduceMean(x) {'axes': (-1,)} : float32[1x4x1]
c = Sub(x, m) {} : float32[1x4x6]
p = Mul(c, c) {} : float32[1x4x6]
v = ReduceMean(p) {'axes': (-1,)} : float32[1x4x1]
e = Add(v, eps) {} : float32[1x4x1]
r = Sqrt(e) {} : float32[1x4x1]
i = Reciprocal(r) {} : float32[1x4x1]
"""
X = np.random.default_rng(0).standard_normal((1, 4, 6)).astype(np.float32) + 3


def spelled(*turned: bool) -> Graph:
    """Operands of the four sums and products, the other way round where `turned`."""

    def pair(k: int, a: str, b: str) -> str:
        return f"{b}, {a}" if turned[k] else f"{a}, {b}"

    return parse_graph(
        HEAD
        + f"s = Mul({pair(0, 'i', 'g')}) {{}} : float32[1x4x6]\n"
        + f"t = Mul({pair(1, 'x', 's')}) {{}} : float32[1x4x6]\n"
        + f"u = Mul({pair(2, 'm', 's')}) {{}} : float32[1x4x6]\n"
        + "w = Sub(b, u) {} : float32[1x4x6]\n"
        + f"y = Add({pair(3, 't', 'w')}) {{}} : float32[1x4x6]\noutput y"
    )


@pytest.mark.parametrize("turned", product([False, True], repeat=4))
def test_it_becomes_a_norm_with_gamma_and_beta(turned: tuple[bool, ...]) -> None:
    before = spelled(*turned)
    after = fuse_layernorm(factor_norm_scale(before))
    assert [op.kind for op in after.ops] == ["LayerNormalization", "Mul", "Add"]
    np.testing.assert_allclose(
        run_onnx(before, {"x": X})["y"], run_onnx(after, {"x": X})["y"], 1e-4, 1e-5
    )


def test_other_sums_stay() -> None:
    before = spelled(False, False, False, False)
    ops = tuple(op.replace(inputs=("b", "p")) if op.outputs[0] == "w" else op for op in before.ops)
    other = before.replace(ops=ops)
    assert factor_norm_scale(other) is other
