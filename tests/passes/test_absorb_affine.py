import rewrite

from mcuformer.passes.absorb_affine import absorb_affine

TWO_READERS = """
input x: float32[4x3]
const s: float32[3] = rand(1)
const c: float32[3] = rand(2)
const w: float32[3x2] = rand(3)
const v: float32[3x5] = rand(4)
const b: float32[5] = rand(5)
m = mul(x, s) {} : float32[4x3]
a = add(m, c) {} : float32[4x3]
y = linear(a, w) {} : float32[4x2]
z = linear(a, v, b) {} : float32[4x5]
output y, z
"""


def test_scale_and_shift_go_into_every_linear_reader() -> None:
    after = rewrite.apply(absorb_affine, rewrite.float_graph(TWO_READERS))
    assert rewrite.kinds(after) == ["linear", "linear"]
    assert all(op.inputs[0] == "x" and len(op.inputs) == 3 for op in after.ops)


def test_another_reader_forbids_it() -> None:
    body = TWO_READERS.replace(
        "output y, z", "r = unary(a) {'fn': 'relu'} : float32[4x3]\noutput y, z, r"
    )
    after = rewrite.apply(absorb_affine, rewrite.float_graph(body))
    assert rewrite.kinds(after) == ["mul", "add", "linear", "linear", "unary"]


def test_graph_output_forbids_it() -> None:
    body = TWO_READERS.replace("output y, z", "output y, z, a")
    assert "add" in rewrite.kinds(rewrite.apply(absorb_affine, rewrite.float_graph(body)))
