import rewrite

from mcuformer.passes.dedupe import dedupe
from mcuformer.passes.gather_first import gather_first

WINDOWS = """
input x: float32[4x3]
const w: float32[3x2] = rand(1)
const v: float32[3x2] = rand(2)
a = linear(x, w) {} : float32[4x2]
b = linear(x, v) {} : float32[4x2]
p = gather(a) {'indices': (2, 0, 3, 1)} : float32[4x2]
q = gather(b) {'indices': (2, 0, 3, 1)} : float32[4x2]
output p, q
"""


def test_layers_share_one_gather() -> None:
    after = rewrite.apply(gather_first, rewrite.float_graph(WINDOWS), exact=True)
    assert rewrite.kinds(dedupe(after)) == ["gather", "linear", "linear"]
    assert after.outputs == ("p", "q")


def test_second_reader_keeps_the_order() -> None:
    graph = rewrite.float_graph(WINDOWS.replace("output p, q", "output p, q, a"))
    after = rewrite.apply(gather_first, graph, exact=True)
    assert sorted(rewrite.kinds(after)) == ["gather", "gather", "linear", "linear"]
    assert next(op for op in after.ops if op.outputs == ("a",)).inputs[0] == "x"
