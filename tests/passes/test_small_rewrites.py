"""Passes of one rule each: split_position, scale_into_sum, pointwise_conv, dedupe, tidy_names."""

import rewrite

from mcuformer.ir.text import parse_graph, print_graph
from mcuformer.passes.dedupe import dedupe
from mcuformer.passes.pointwise_conv import pointwise_conv
from mcuformer.passes.scale_into_sum import scale_into_sum
from mcuformer.passes.split_position import split_position
from mcuformer.passes.tidy_names import tidy_names

POSITION = """
input x: float32[3x4]
const c: float32[1x4] = rand(1)
const p: float32[4x4] = rand(2)
t = concat(c, x) {'axis': 0} : float32[4x4]
y = add(t, p) {} : float32[4x4]
output y
"""


def test_class_token_and_its_position_become_one_constant() -> None:
    after = rewrite.apply(split_position, rewrite.float_graph(POSITION), exact=True)
    assert rewrite.kinds(after) == ["add", "concat"]
    token = after.const(after.ops[1].inputs[0])
    assert token is not None and token.shape == (1, 4)
    assert after.ops[1].outputs == ("y",)


def test_position_per_channel_and_constants_at_both_ends() -> None:
    body = """
input x: float32[3x4]
const c: float32[1x4] = rand(1)
const d: float32[2x4] = rand(3)
const p: float32[4] = rand(2)
t = concat(c, x, d) {'axis': 0} : float32[6x4]
y = add(t, p) {} : float32[6x4]
output y
"""
    after = rewrite.apply(split_position, rewrite.float_graph(body), exact=True)
    assert rewrite.kinds(after) == ["add", "concat"]


def test_position_with_a_second_reader() -> None:
    graph = rewrite.float_graph(POSITION.replace("output y", "output y, t"))
    assert rewrite.kinds(rewrite.apply(split_position, graph)) == ["concat", "add"]


HEADS = """
input x: float32[1x4]
const w: float32[4x3] = rand(1)
const v: float32[4x3] = rand(2)
const s: float32[3] = 0.5
a = linear(x, w) {} : float32[1x3]
b = linear(x, v) {} : float32[1x3]
t = add(a, b) {} : float32[1x3]
y = mul(t, s) {} : float32[1x3]
output y
"""


def test_average_of_two_heads() -> None:
    after = rewrite.apply(scale_into_sum, rewrite.float_graph(HEADS))
    assert rewrite.kinds(after) == ["linear", "linear", "mul", "mul", "add"]


def test_sum_that_is_read_twice() -> None:
    graph = rewrite.float_graph(HEADS.replace("output y", "output y, t"))
    assert rewrite.kinds(rewrite.apply(scale_into_sum, graph)) == rewrite.kinds(graph)


def test_sum_with_one_number_per_row() -> None:
    body = HEADS.replace("v: float32[4x3]", "v: float32[4x1]").replace(
        "b = linear(x, v) {} : float32[1x3]", "b = linear(x, v) {} : float32[1x1]"
    )
    graph = rewrite.float_graph(body)
    assert rewrite.kinds(rewrite.apply(scale_into_sum, graph)) == rewrite.kinds(graph)


CONV = """
input x: float32[3x5x4]
const w: float32[1x1x4x6] = rand(1)
const b: float32[6] = rand(2)
y = conv2d(x, w, b) {'strides': (1, 1), 'pads': (0, 0, 0, 0), 'group': 1} : float32[3x5x6]
output y
"""


def test_pointwise_convolution() -> None:
    after = rewrite.apply(pointwise_conv, rewrite.float_graph(CONV))
    assert rewrite.kinds(after) == ["reshape", "linear", "reshape"]


def test_strided_pointwise_convolution_stays() -> None:
    body = CONV.replace("(1, 1), 'pads'", "(2, 2), 'pads'").replace("3x5x6", "2x3x6")
    assert rewrite.kinds(rewrite.apply(pointwise_conv, rewrite.float_graph(body))) == ["conv2d"]


def test_dedupe() -> None:
    after = rewrite.apply(
        dedupe,
        rewrite.float_graph("""
input x: float32[4x6]
a = slice(x) {'axis': 0, 'start': 1, 'stop': 4} : float32[3x6]
b = slice(x) {'axis': 0, 'start': 1, 'stop': 4} : float32[3x6]
c = slice(b) {'axis': 0, 'start': 1, 'stop': 2} : float32[1x6]
d = reshape(a) {'shape': (9, 2)} : float32[9x2]
e = reshape(d) {'shape': (3, 6)} : float32[3x6]
f = reshape(e) {'shape': (3, 6)} : float32[3x6]
g = unary(f) {'fn': 'relu'} : float32[3x6]
output c, g
"""),
        exact=True,
    )
    assert rewrite.kinds(after) == ["slice", "slice", "unary"]
    assert after.ops[1].attrs == {"axis": 0, "start": 2, "stop": 3}


def test_different_attributes_are_different() -> None:
    graph = rewrite.float_graph("""
input x: float32[4x6]
a = unary(x) {'fn': 'relu'} : float32[4x6]
b = unary(x) {'fn': 'tanh'} : float32[4x6]
y = add(a, b) {} : float32[4x6]
output y
""")
    assert rewrite.kinds(rewrite.apply(dedupe, graph)) == ["unary", "unary", "add"]


def test_names() -> None:
    graph = rewrite.float_graph("""
input x: float32[4x3]
const strange: float32[3x2] = 0.5
const odd: float32[2] = 0.25
v1 = linear(x, strange, odd) {} : float32[4x2]
v2 = add(v1, odd) {} : float32[4x2]
output v2
""")
    graph = graph.replace(ops=tuple(op.replace(name="head") for op in graph.ops))
    graph = graph.replace(meta={**graph.meta, "qdq": {"v2": (1.0, 0, "int8")}})
    after = rewrite.apply(tidy_names, graph, exact=True)
    text = print_graph(after.replace(meta={}))
    assert text == (
        "graph test float\n"
        "input x: float32[4x3]\n"
        "const head.w: float32[3x2] = 0.5\n"
        "const head.b: float32[2] = 0.25\n"
        "head = linear(x, head.w, head.b) {} : float32[4x2]\n"
        "head.1 = add(head, head.b) {} : float32[4x2]\n"
        "output head.1\n"
    )
    assert after.meta["qdq"] == {"head.1": (1.0, 0, "int8")}
    assert print_graph(parse_graph(text)) == text
