import numpy as np
import rewrite

from mcuformer.passes.split_linear import split_linear

QKV = """
input x: float32[4x3]
const w: float32[3x6] = rand(1)
const b: float32[6] = rand(2)
y = linear(x, w, b) {} : float32[4x6]
q = slice(y) {'axis': 1, 'start': 0, 'stop': 2} : float32[4x2]
k = slice(y) {'axis': 1, 'start': 2, 'stop': 4} : float32[4x2]
v = slice(y) {'axis': 1, 'start': 4, 'stop': 6} : float32[4x2]
output q, k, v
"""


def test_qkv() -> None:
    after = rewrite.apply(split_linear, rewrite.float_graph(QKV), exact=True)
    assert rewrite.kinds(after) == ["linear"] * 3
    assert {op.inputs[0] for op in after.ops} == {"x"}


def test_whole_result_read_too() -> None:
    after = rewrite.apply(split_linear, rewrite.float_graph(QKV.replace("output q", "output y, q")))
    assert rewrite.kinds(after) == ["linear", "slice", "slice", "slice"]


def test_overlap_would_compute_twice() -> None:
    body = QKV.replace(
        "'start': 2, 'stop': 4} : float32[4x2]", "'start': 0, 'stop': 4} : float32[4x4]"
    )
    assert rewrite.kinds(rewrite.apply(split_linear, rewrite.float_graph(body)))[0] == "linear"
    assert "slice" in rewrite.kinds(rewrite.apply(split_linear, rewrite.float_graph(body)))


def test_quantisation_of_the_whole_goes_to_its_parts() -> None:
    graph = rewrite.float_graph(QKV)
    scales = np.arange(1.0, 7.0)
    tables = {"qdq": {"y": (0.5, 3, "int8")}, "qdq_weights": {"w": scales}}
    after = split_linear(graph.replace(meta={**graph.meta, **tables}))
    assert after.meta["qdq"]["k"] == (0.5, 3, "int8")
    k = next(op for op in after.ops if op.outputs == ("k",))
    assert after.meta["qdq_weights"][k.inputs[1]].tolist() == [3.0, 4.0]
