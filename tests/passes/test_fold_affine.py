import numpy as np
import rewrite

from mcuformer.passes.fold_affine import fold_affine

LAYER_SCALE = """
input x: float32[4x3]
const w: float32[3x2] = rand(1)
const b: float32[2] = rand(2)
const s: float32[2] = rand(3)
y = linear(x, w) {} : float32[4x2]
yb = add(b, y) {} : float32[4x2]
ys = mul(yb, s) {} : float32[4x2]
output ys
"""


def test_bias_and_layer_scale() -> None:
    after = rewrite.apply(fold_affine, rewrite.float_graph(LAYER_SCALE))
    assert rewrite.kinds(after) == ["linear"] and after.outputs == ("ys",)
    assert after.ops[0].origin == ("y", "yb", "ys")


def test_batchnorm_after_convolution() -> None:
    after = rewrite.apply(
        fold_affine,
        rewrite.float_graph("""
input x: float32[5x5x2]
const w: float32[3x3x2x4] = rand(1)
const k: float32[4] = rand(2)
const c: float32[4] = rand(3)
y = conv2d(x, w) {'strides': (1, 1), 'pads': (1, 1, 1, 1), 'group': 1} : float32[5x5x4]
m = mul(y, k) {} : float32[5x5x4]
a = add(m, c) {} : float32[5x5x4]
output a
"""),
    )
    assert rewrite.kinds(after) == ["conv2d"] and len(after.ops[0].inputs) == 3


def test_layernorm_takes_gamma_and_beta() -> None:
    after = rewrite.apply(
        fold_affine,
        rewrite.float_graph("""
input x: float32[4x6]
const g: float32[6] = rand(1)
const b: float32[6] = rand(2)
n = layernorm(x) {'eps': 1e-06, 'groups': 2} : float32[4x6]
m = mul(n, g) {} : float32[4x6]
a = add(m, b) {} : float32[4x6]
output a
"""),
    )
    assert rewrite.kinds(after) == ["layernorm"]


def test_second_reader_keeps_the_bare_result() -> None:
    graph = rewrite.float_graph(LAYER_SCALE.replace("output ys", "output ys, y"))
    assert rewrite.kinds(rewrite.apply(fold_affine, graph)) == ["linear", "add", "mul"]


def test_position_table_stays_an_add() -> None:
    graph = rewrite.float_graph("""
input x: float32[4x3]
const w: float32[3x2] = rand(1)
const p: float32[4x2] = rand(2)
y = linear(x, w) {} : float32[4x2]
a = add(y, p) {} : float32[4x2]
output a
""")
    assert rewrite.kinds(rewrite.apply(fold_affine, graph)) == ["linear", "add"]


def test_weight_scales_follow() -> None:
    graph = rewrite.float_graph(LAYER_SCALE)
    scales = np.asarray([0.5, 0.25])
    graph = graph.replace(meta={**graph.meta, "qdq": {}, "qdq_weights": {"w": scales}})
    after = fold_affine(graph)
    factor = graph.const("s")
    assert factor is not None
    table = after.meta["qdq_weights"]
    np.testing.assert_allclose(table[str(after.ops[0].inputs[1])], scales * abs(factor))
