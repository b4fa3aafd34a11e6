import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import VerifyError, verify

GOOD = """
graph g float
input x: float32[4x6]
const w: float32[6x6] = 1.0
q = linear(x, w) {} : float32[4x6]
n = layernorm(q) {'eps': 1e-06, 'groups': 2} : float32[4x6]
a = attention(n, q, x) {'heads': 3, 'scale': 1.0} : float32[4x6]
output a
"""


def test_good() -> None:
    graph = parse_graph(GOOD)
    assert verify(graph) is graph


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("linear(x, w)", "linear(n, w)", "before anything wrote it"),
        ("linear(x, w) {} : float32[4x6]", "linear(x, w) {} : float32[4x5]", "the rule says"),
        ("float32[6x6]", "float32[5x6]", "w has 5 rows"),
        ("'groups': 2", "'groups': 4", "4 groups do not divide 6"),
        ("'heads': 3", "'heads': 4", "4 heads do not divide"),
        (", 'scale': 1.0", "", "attribute scale is missing"),
        ("= attention(", "= magic(", "no operator of stage float"),
        ("output a", "output b", "produced by nothing"),
        ("n = layernorm(q)", "q = layernorm(q)", "second time"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(VerifyError, match=reason):
        verify(parse_graph(GOOD.replace(old, new)))


def test_message_names_the_onnx_nodes() -> None:
    graph = parse_graph(GOOD.replace("'groups': 2", "'groups': 4"))
    ops = tuple(op.replace(origin=("/norm/Node",)) for op in graph.ops)
    with pytest.raises(VerifyError, match="/norm/Node"):
        verify(graph.replace(ops=ops))


def test_constant_data_must_fit_its_type() -> None:
    graph = parse_graph(GOOD)
    import dataclasses

    w = graph.values["w"]
    assert w.data is not None
    broken: Graph = graph.replace(
        values={**graph.values, "w": dataclasses.replace(w, data=w.data.reshape(-1))}
    )
    with pytest.raises(VerifyError, match="constant w"):
        verify(broken)
