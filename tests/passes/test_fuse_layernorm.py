import numpy as np
import pytest

from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.text import parse_graph
from mcuformer.passes.fuse_layernorm import fuse_layernorm

HEAD = """
graph g onnx
input x: float32[1x4x6]
const two: float32[] = 2.0
const eps: float32[] = 1e-05
const half: float32[] = 0.5
const minus: float32[] = -0.5
const one: float32[] = 1.0
m = ReduceMean(x) {'axes': (-1,)} : float32[1x4x1]
c = Sub(x, m) {} : float32[1x4x6]
"""
SQUARE = "p = Pow(c, two) {} : float32[1x4x6]\n"
VARIANCE = """v = ReduceMean(p) {'axes': (-1,)} : float32[1x4x1]
s = Add(v, eps) {} : float32[1x4x1]
"""
ROOT = "r = Sqrt(s) {} : float32[1x4x1]\n"
DIVIDE = "y = Div(c, r) {} : float32[1x4x6]\n"
TIMES = "y = Mul(c, i) {} : float32[1x4x6]\n"
FORMS = {
    "sqrt and divide": SQUARE + VARIANCE + ROOT + DIVIDE,
    "product": "p = Mul(c, c) {} : float32[1x4x6]\n" + VARIANCE + ROOT + DIVIDE,
    "power of a half": SQUARE + VARIANCE + "r = Pow(s, half) {} : float32[1x4x1]\n" + DIVIDE,
    "reciprocal": SQUARE + VARIANCE + ROOT + "i = Reciprocal(r) {} : float32[1x4x1]\n" + TIMES,
    "one over": SQUARE + VARIANCE + ROOT + "i = Div(one, r) {} : float32[1x4x1]\n" + TIMES,
    "inverse power": SQUARE + VARIANCE + "i = Pow(s, minus) {} : float32[1x4x1]\n" + TIMES,
    "its own centre": "d = Sub(x, m) {} : float32[1x4x6]\np = Pow(d, two) {} : float32[1x4x6]\n"
    + VARIANCE + ROOT + DIVIDE,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_form(name: str) -> None:
    before = parse_graph(HEAD + FORMS[name] + "output y")
    after = fuse_layernorm(before)
    assert [op.kind for op in after.ops] == ["LayerNormalization"]
    assert after.ops[0].attrs["epsilon"] == pytest.approx(1e-5)
    x = np.random.default_rng(0).standard_normal((1, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(
        run_onnx(before, {"x": x})["y"], run_onnx(after, {"x": x})["y"], 1e-4, 1e-5
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ("'axes': (-1,)} : float32[1x4x1]\ns", "'axes': (1,)} : float32[1x1x6]\ns"),
            "not over the last axis",
        ),
        (("y = Div(c, r)", "y = Div(x, r)"), "dividend is not"),
        (("p = Pow(c, two)", "p = Pow(x, two)"), "no standard deviation"),
    ],
)
def test_near_miss_has_a_reason(change: tuple[str, str], reason: str) -> None:
    text = HEAD + FORMS["sqrt and divide"] + "output y"
    assert change[0] in text
    after = fuse_layernorm(parse_graph(text.replace(*change)))
    assert "LayerNormalization" not in [op.kind for op in after.ops]
    assert len(after.meta["skipped"]) == 1 and reason in after.meta["skipped"][0]
