import numpy as np
import pytest

from mcuformer.ir.text import parse_graph
from mcuformer.passes.fold_constants import fold_constants

SHAPES = """
graph g onnx
input x: float32[1x6x4]
const zero: int64[] = 0
const two: int64[1] = [2]
const minus: int64[1] = [-1]
s = Shape(x) {} : float32[-1]
n = Gather(s, zero) {'axis': 0} : float32[-1]
m = Unsqueeze(n, zero) {} : float32[-1]
t = Concat(m, minus, two) {'axis': 0} : float32[-1]
y = Reshape(x, t) {} : float32[-1]
output y
"""


def test_shape_arithmetic_folds_and_every_value_has_a_shape() -> None:
    after = fold_constants(parse_graph(SHAPES))
    assert [op.kind for op in after.ops] == ["Reshape"]
    assert after.type("y").shape == (1, 12, 2)
    target = after.const("t")
    assert target is not None and target.tolist() == [1, -1, 2]


def test_constants_fold_in_their_own_type() -> None:
    graph = parse_graph("""
graph g onnx
const a: float32[3] = [1.0, 4.0, 9.0]
const b: int64[3] = [-7, 7, 8]
const c: int64[] = 2
input x: float32[3]
r = Sqrt(a) {} : float32[-1]
q = Div(b, c) {} : float32[-1]
f = Cast(q) {'to': 'float32'} : float32[-1]
y = Sum(x, r, f) {} : float32[-1]
output y
""")
    after = fold_constants(graph)
    assert [op.kind for op in after.ops] == ["Sum"]
    assert np.array_equal(after.const("r"), [1, 2, 3])  # type: ignore[arg-type]
    assert np.array_equal(after.const("q"), [-3, 3, 4])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("y = Reshape(x, bad) {} : float32[-1]", "cannot reshape"),
        ("y = MatMul(x, x) {} : float32[-1]", "cannot multiply"),
        ("y = Expand(x, huge) {} : float32[-1]", "too large"),
        ("y = Reshape(x, x) {} : float32[-1]", "not constant"),
    ],
)
def test_what_cannot_be_typed_keeps_its_reason(line: str, reason: str) -> None:
    graph = parse_graph(f"""
graph g onnx
input x: float32[1x6x4]
const bad: int64[1] = [7]
const huge: int64[3] = [1099511627776, 6, 4]
{line}
z = Relu(y) {{}} : float32[-1]
output z
""")
    after = fold_constants(graph)
    assert reason in after.ops[0].attrs["error"]
    assert after.type("z").shape == (-1,)  # unknown from there on, and not blamed
    assert after.ops[1].attrs["error"] == ""
