"""(x + y) - x -> y."""

import pytest
import rewrite

from mcuformer.ir.graph import Graph
from mcuformer.passes.cancel_terms import cancel_terms

HEAD = """
input x: float32[6x4]
const w: float32[4x4] = rand(1)
const v: float32[4x4] = rand(2)
const c: float32[4] = rand(3)
const minus: float32[4] = -1
const half: float32[4] = 0.5
const minus_half: float32[4] = -0.5
f = linear(x, w) {} : float32[6x4]
g = linear(x, v) {} : float32[6x4]
"""


def rewritten(text: str) -> Graph:
    return rewrite.apply(cancel_terms, rewrite.float_graph(HEAD + text))


def test_a_stream_less_its_own_beginning() -> None:
    after = rewritten("""
a = add(f, c) {} : float32[6x4]
s = add(a, g) {} : float32[6x4]
n = mul(f, minus) {} : float32[6x4]
d = add(s, n) {} : float32[6x4]
e = softmax(s) {} : float32[6x4]
output d
output e
""")
    (made,) = (op for op in after.ops if op.outputs[0] == "d")
    assert made.kind == "add" and set(made.inputs) == {"g", "c"}
    assert rewrite.kinds(after) == ["linear", "linear", "add", "add", "add", "softmax"]


def test_of_two_terms_one_is_left_for_its_readers() -> None:
    after = rewritten("""
s = add(f, g) {} : float32[6x4]
n = mul(f, minus) {} : float32[6x4]
d = add(n, s) {} : float32[6x4]
y = softmax(d) {} : float32[6x4]
output y
""")
    assert rewrite.kinds(after) == ["linear", "softmax"]


def test_an_output_is_still_written() -> None:
    after = rewritten("""
s = add(f, g) {} : float32[6x4]
n = mul(f, minus) {} : float32[6x4]
d = add(n, s) {} : float32[6x4]
output d
output g
""")
    assert rewrite.kinds(after) == ["linear", "mul"]


def test_factors_are_followed_through_sums() -> None:
    after = rewritten("""
s = add(f, g) {} : float32[6x4]
h = mul(s, half) {} : float32[6x4]
n = mul(g, minus_half) {} : float32[6x4]
d = add(h, n) {} : float32[6x4]
output d
""")
    assert rewrite.kinds(after) == ["linear", "mul"]


def test_what_cancels_whole_is_not_taken_apart() -> None:
    """s - s - g: the sum s is one term, whatever it is made of."""
    after = rewritten("""
s = add(f, g) {} : float32[6x4]
t = add(s, c) {} : float32[6x4]
n = mul(s, minus) {} : float32[6x4]
d = add(t, n) {} : float32[6x4]
e = add(d, g) {} : float32[6x4]
output e
""")
    assert rewrite.kinds(after) == ["linear", "add"]


@pytest.mark.parametrize(
    "rest",
    [
        # another factor
        "n = mul(f, minus_half) {} : float32[6x4]\nd = add(s, n) {} : float32[6x4]\n",
        # a product of rows is no term
        "n = mul(f, g) {} : float32[6x4]\nd = add(s, n) {} : float32[6x4]\n",
        # behind a function
        "q = softmax(s) {} : float32[6x4]\nn = mul(f, minus) {} : float32[6x4]\nd = add(q, n) {} : float32[6x4]\n",
    ],
)
def test_near_misses_stay(rest: str) -> None:
    graph = rewrite.float_graph(HEAD + "s = add(f, g) {} : float32[6x4]\n" + rest + "output d\n")
    assert cancel_terms(graph) is graph


def test_nothing_is_left_of_it() -> None:
    """0 in every row: no activation of its shape would be there to write it with."""
    graph = rewrite.float_graph(
        HEAD + "n = mul(f, minus) {} : float32[6x4]\nd = add(f, n) {} : float32[6x4]\noutput d\n"
    )
    assert cancel_terms(graph) is graph


def test_grids_of_a_file_stay() -> None:
    graph = rewrite.float_graph(
        HEAD + "s = add(f, g) {} : float32[6x4]\nn = mul(f, minus) {} : float32[6x4]\n"
        "d = add(s, n) {} : float32[6x4]\noutput d\n"
    )
    quantised = graph.replace(meta={**graph.meta, "qdq": {}})
    assert cancel_terms(quantised) is quantised
