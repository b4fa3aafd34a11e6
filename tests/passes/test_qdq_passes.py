"""note_weight_scales, drop_qdq and spread_qdq on small graphs."""

import numpy as np
import pytest

from mcuformer.ir.text import parse_graph
from mcuformer.passes.clip_after_pair import clip_after_pair
from mcuformer.passes.drop_qdq import drop_qdq
from mcuformer.passes.note_weight_scales import note_weight_scales
from mcuformer.passes.spread_qdq import spread_qdq

LAYER = """
graph g onnx
input x: float32[4x3]
const w: int8[3x2] = [1, -2, 3, 4, -5, 6]
const ws: float32[2] = [0.5, 0.25]
const wz: int8[2] = 0
const s: float32[] = 0.125
const z: int8[] = -128
f = DequantizeLinear(w, ws, wz) {'axis': 1} : float32[3x2]
m = MatMul(x, f) {} : float32[4x2]
q = QuantizeLinear(m, s, z) {} : int8[4x2]
d = DequantizeLinear(q, s, z) {} : float32[4x2]
y = Neg(d) {} : float32[4x2]
output y
"""


def float_weights(text: str) -> str:
    """As after fold_constants: f is a constant."""
    start = text.index("f = Deq")
    line = text[start : text.index("\n", start)]
    return text.replace(line, "const f: float32[3x2] = rand(1)")


def test_weight_scales() -> None:
    meta = note_weight_scales(parse_graph(LAYER)).meta
    scales, axis = meta["qdq_weights"]["f"]
    assert scales.tolist() == [0.5, 0.25] and axis == 1


def test_asymmetric_weights_have_none() -> None:
    text = LAYER.replace("const wz: int8[2] = 0", "const wz: int8[2] = 3")
    assert note_weight_scales(parse_graph(text)).meta["qdq_weights"] == {}


def test_float_model_is_untouched() -> None:
    graph = parse_graph("graph g onnx\ninput x: float32[4]\ny = Relu(x) {} : float32[4]\noutput y")
    assert note_weight_scales(graph) is graph and drop_qdq(graph) is graph


def test_a_pair_that_cuts_at_zero_behind_a_layer_is_a_relu() -> None:
    after = drop_qdq(parse_graph(float_weights(LAYER)))
    assert [op.kind for op in after.ops if op.kind != "QuantizeLinear"] == ["MatMul", "Relu", "Neg"]
    assert after.meta["qdq"] == {"d": (0.125, -128, "int8")}


def test_any_other_pair_vanishes() -> None:
    after = drop_qdq(parse_graph(float_weights(LAYER.replace("z: int8[] = -128", "z: int8[] = 3"))))
    kinds = [op.kind for op in after.pruned().ops]
    assert kinds == ["MatMul", "Neg"] and after.meta["qdq"] == {"m": (0.125, 3, "int8")}


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid", "Abs"])
def test_what_cannot_be_negative_needs_no_relu(kind: str) -> None:
    text = float_weights(LAYER).replace(
        "q = Quant", f"p = {kind}(m) {{}} : float32[4x2]\nq = Quant"
    )
    after = drop_qdq(parse_graph(text.replace("QuantizeLinear(m,", "QuantizeLinear(p,"))).pruned()
    assert [op.kind for op in after.ops] == ["MatMul", kind, "Neg"]


def test_pixels_need_no_relu() -> None:
    text = float_weights(LAYER).replace("QuantizeLinear(m,", "QuantizeLinear(x,")
    after = drop_qdq(parse_graph(text.replace("int8[4x2]", "int8[4x3]"))).pruned()
    assert "Relu" not in [op.kind for op in after.ops]


def test_neighbours_lend_their_scale() -> None:
    graph = parse_graph("""
graph g float
input x: float32[4x3]
const w: float32[3x3] = rand(1)
a = linear(x, w) {} : float32[4x3]
b = unary(a) {'fn': 'relu'} : float32[4x3]
c = mean(b) {} : float32[1x3]
d = linear(c, w) {} : float32[1x3]
e = unary(d) {'fn': 'tanh'} : float32[1x3]
output e
""")
    graph = graph.replace(meta={"qdq": {"b": (0.5, -128, "int8")}})
    table = spread_qdq(graph).meta["qdq"]
    assert table["a"] == table["b"] == table["c"] == (0.5, -128, "int8")
    assert "d" not in table  # a linear layer's range is its own
    assert np.isclose(table["e"][0], 1 / 127)


CLIPPED = """
graph g onnx
input x: float32[4x3]
const s: float32[] = 0.5
const z: int8[] = 1
const low: int8[] = LOW
const high: int8[] = HIGH
q = QuantizeLinear(x, s, z) {} : int8[4x3]
c = Clip(q, low, high) {} : int8[4x3]
d = DequantizeLinear(c, s, z) {} : float32[4x3]
y = Neg(d) {} : float32[4x3]
output y
"""


@pytest.mark.parametrize("low", [-128, -127])
def test_a_clip_of_the_whole_grid_vanishes(low: int) -> None:
    text = CLIPPED.replace("LOW", str(low)).replace("HIGH", "127")
    graph = drop_qdq(clip_after_pair(parse_graph(text))).pruned()
    assert [op.kind for op in graph.ops] == ["Neg"]
    assert graph.meta["qdq"]["x"] == (0.5, 1, "int8")


def test_a_narrower_clip_cuts_in_floats() -> None:
    text = CLIPPED.replace("LOW", "-8").replace("HIGH", "7")
    graph = drop_qdq(clip_after_pair(parse_graph(text))).pruned()
    assert [op.kind for op in graph.ops] == ["Clip", "Neg"]
    ends = [float(graph.const(name)) for name in graph.ops[0].inputs[1:]]  # type: ignore[arg-type]
    assert ends == [-4.5, 3.0] and graph.ops[0].inputs[0] == "x"


def test_clips_of_floats_are_left_alone() -> None:
    graph = parse_graph(LAYER)
    assert clip_after_pair(graph) is graph
