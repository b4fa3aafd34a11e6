import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import UsageError
from mcuformer.ir.text import parse_graph, print_graph
from mcuformer.operators.verify import verify

EXAMPLE = """graph example float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 4, 3),)
input x: float32[4x3]
const w: float32[3x2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
const token: float32[1x2] = 0.5
y = linear(x, w, _) {} : float32[4x2]
z = concat(token, y) {'axis': 0} : float32[5x2]
output z
"""


def test_prints_what_it_parsed() -> None:
    graph = verify(parse_graph(EXAMPLE))
    assert print_graph(graph) == EXAMPLE
    assert graph.ops[0].inputs == ("x", "w", None)
    assert graph.meta["input_shapes"][0] == (1, 4, 3)


def test_comments_and_blank_lines() -> None:
    text = EXAMPLE.replace("output z", "\n# the end\noutput z  # here")
    assert print_graph(parse_graph(text)) == EXAMPLE


def test_random_constants_are_reproducible_and_print_as_checksums() -> None:
    text = "graph g float\ninput x: float32[1]\nconst w: float32[5x8] = rand(3)\noutput x\n"
    a, b = parse_graph(text), parse_graph(text)
    assert print_graph(a) == print_graph(b) and "crc(" in print_graph(a)
    with pytest.raises(UsageError):
        parse_graph(print_graph(a))


def test_several_results() -> None:
    split = "a, b = Split(x) {'axis': 1} : float32[4x3], float32[4x3]"
    text = f"graph g onnx\ninput x: float32[4x6]\n{split}\noutput a, b\n"
    graph = parse_graph(text)
    assert graph.ops[0].outputs == ("a", "b") and print_graph(graph) == text


@pytest.mark.parametrize(
    "line", ["y = linear(x", "input x", "const w: float32[2]", "nonsense", "meta a = open('b')",
             "y = relu(x) {'a': b} : float32[2]", "const w: float32[2] = [1]"],
)  # fmt: skip
def test_malformed_lines_are_named(line: str) -> None:
    with pytest.raises(UsageError, match="line 2"):
        parse_graph(f"graph g float\n{line}\n")


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse_graph(text)
    except UsageError as error:
        assert str(error).startswith("line ")
