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


PIXELS = """
input x: float32[4x6x3]
const s: float32[3] = rand(1)
const c: float32[3] = rand(2)
const w: float32[2x2x3x5] = rand(3)
a = add(x, c) {} : float32[4x6x3]
m = mul(a, s) {} : float32[4x6x3]
y = conv2d(m, w) {'strides': (2, 2), 'pads': (0, 0, 0, 0), 'group': 1} : float32[2x3x5]
output y
"""


def test_normalised_pixels_go_into_the_patch_weights() -> None:
    after = rewrite.apply(absorb_affine, rewrite.float_graph(PIXELS))
    assert rewrite.kinds(after) == ["conv2d"] and after.ops[0].inputs[0] == "x"


def test_a_shift_before_padding_stays() -> None:
    body = PIXELS.replace("(0, 0, 0, 0)", "(1, 1, 1, 1)").replace("[2x3x5]", "[3x4x5]")
    after = rewrite.apply(absorb_affine, rewrite.float_graph(body))
    assert rewrite.kinds(after) == ["add", "conv2d"]


def test_grouped_convolution_stays() -> None:
    body = PIXELS.replace("'group': 1", "'group': 3").replace("[2x2x3x5]", "[2x2x1x6]")
    body = body.replace("[2x3x5]", "[2x3x6]")
    after = rewrite.apply(absorb_affine, rewrite.float_graph(body))
    assert rewrite.kinds(after) == ["add", "mul", "conv2d"]
