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
const zero: float32[] = 0.0
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
    "mean of squares less square of mean": "p = Pow(x, two) {} : float32[1x4x6]\n"
    "w = ReduceMean(p) {'axes': (-1,)} : float32[1x4x1]\nz = Mul(m, m) {} : float32[1x4x1]\n"
    "d = Sub(w, z) {} : float32[1x4x1]\nv = Max(d, zero) {} : float32[1x4x1]\n"
    "s = Add(v, eps) {} : float32[1x4x1]\n" + ROOT + DIVIDE,
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
            "over different axes",
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


L2_HEAD = """
graph g onnx
input x: float32[1x4x6]
const two: float32[] = 2.0
const tiny: float32[] = 1e-12
const half: float32[] = 0.5
const minus: float32[] = -0.5
const one: float32[] = 1.0
const shape: int64[3] = [1, 4, 6]
"""
NORM = "n = ReduceL2(x) {'axes': (AXIS,), 'keepdims': 1} : float32[KEPT]\n"
SUM = "p = Mul(x, x) {} : float32[1x4x6]\nq = ReduceSum(p) {'axes': (AXIS,)} : float32[KEPT]\n"
L2_FORMS = {
    "F.normalize": NORM + "m = Clip(n, tiny) {} : float32[KEPT]\n"
    "e = Expand(m, shape) {} : float32[1x4x6]\ny = Div(x, e) {} : float32[1x4x6]\n",
    "Max": NORM + "m = Max(tiny, n) {} : float32[KEPT]\ny = Div(x, m) {} : float32[1x4x6]\n",
    "plus": NORM + "m = Add(n, tiny) {} : float32[KEPT]\ny = Div(x, m) {} : float32[1x4x6]\n",
    "alone": NORM + "y = Div(x, n) {} : float32[1x4x6]\n",
    "sum of squares": "q = ReduceSumSquare(x) {'axes': (AXIS,)} : float32[KEPT]\n"
    "n = Sqrt(q) {} : float32[KEPT]\ny = Div(x, n) {} : float32[1x4x6]\n",
    "written out": SUM + "n = Sqrt(q) {} : float32[KEPT]\nr = Reciprocal(n) {} : float32[KEPT]\n"
    "y = Mul(r, x) {} : float32[1x4x6]\n",
    "rsqrt of the larger": SUM + "m = Max(q, tiny) {} : float32[KEPT]\nn = Sqrt(m) {} : float32[KEPT]\n"
    "r = Div(one, n) {} : float32[KEPT]\ny = Mul(x, r) {} : float32[1x4x6]\n",
    "of magnitudes": "a = Abs(x) {} : float32[1x4x6]\np = Pow(a, two) {} : float32[1x4x6]\n"
    "q = ReduceSum(p) {'axes': (AXIS,)} : float32[KEPT]\nn = Pow(q, half) {} : float32[KEPT]\n"
    "m = Max(n, tiny) {} : float32[KEPT]\ny = Div(x, m) {} : float32[1x4x6]\n",
    "power": SUM + "r = Pow(q, minus) {} : float32[KEPT]\ny = Mul(x, r) {} : float32[1x4x6]\n",
    "LpNormalization": "y = LpNormalization(x) {'axis': AXIS} : float32[1x4x6]\n",
}  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("name", L2_FORMS)
def test_l2_norm(name: str, axis: int) -> None:
    text = (
        L2_FORMS[name].replace("AXIS", str(axis)).replace("KEPT", {-1: "1x4x1", 1: "1x1x6"}[axis])
    )
    before = parse_graph(L2_HEAD + text + "output y")
    after = fuse_layernorm(before)
    turned = ["Transpose"] * (axis == 1)
    assert [op.kind for op in after.ops] == [*turned, "RMSNormalization", *turned, "Mul"]
    x = np.random.default_rng(0).standard_normal((1, 4, 6)).astype(np.float32)
    x[0, 1] = 0
    wanted = run_onnx(before, {"x": x})["y"] if "Reduce" not in text else x / np.maximum(
        np.linalg.norm(x, axis=axis, keepdims=True), 1e-12)  # fmt: skip
    np.testing.assert_allclose(run_onnx(after, {"x": x})["y"], wanted, 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (("y = Div(x, e)", "y = Div(e, x)"), "Div"),
        (("tiny: float32[] = 1e-12", "tiny: float32[] = 0.1"), "ReduceL2"),
        (("Clip(n, tiny)", "Clip(n, tiny, one)"), "Clip"),
    ],
)
def test_what_is_no_l2_norm(change: tuple[str, str], kept: str) -> None:
    text = L2_HEAD + L2_FORMS["F.normalize"].replace("AXIS", "-1").replace("KEPT", "1x4x1")
    assert change[0] in text
    after = fuse_layernorm(parse_graph(text.replace(*change) + "output y"))
    assert kept in [op.kind for op in after.ops]
