import rewrite

from mcuformer.passes.drop_softmax import drop_softmax

CLASSES = """
input x: float32[3x4]
const w: float32[4x5] = rand(1)
a = linear(x, w) {} : float32[3x5]
p = softmax(a) {} : float32[3x5]
y = argmax(p) {} : float32[3x1]
output y
"""


def test_the_largest_probability_is_the_largest_score() -> None:
    after = rewrite.apply(drop_softmax, rewrite.float_graph(CLASSES), exact=True)
    assert rewrite.kinds(after) == ["linear", "argmax"]
    assert after.outputs == ("y",)


def test_probabilities_that_are_an_output_stay() -> None:
    graph = rewrite.float_graph(CLASSES.replace("output y", "output p, y"))
    after = rewrite.apply(drop_softmax, graph, exact=True)
    assert rewrite.kinds(after) == ["linear", "softmax", "argmax"]
    assert after.ops[2].inputs == ("a",)


def test_an_argmax_of_something_else() -> None:
    graph = rewrite.float_graph(CLASSES.replace("softmax(a) {}", "unary(a) {'fn': 'relu'}"))
    assert drop_softmax(graph).ops == graph.ops
