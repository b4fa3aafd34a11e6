"""ONNX layouts to the graph's own, reals to integers and back."""

import numpy as np
import pytest

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import dequantise, feeds, quantise_input, to_canonical
from mcuformer.ir.types import QParams, TensorType, Value


def graph(shape: tuple, layout: str, onnx: tuple, dtype: str = "float32") -> Graph:
    qparams = QParams(np.asarray(0.5), np.asarray(3.0))
    value = Value("x", TensorType(shape, dtype, qparams))
    return Graph(
        "g",
        "float",
        ("x",),
        ("x",),
        (),
        {"x": value},
        {"input_layouts": (layout,), "input_shapes": (onnx,)},
    )


@pytest.mark.parametrize("lead", [(), (1,), (5,), (5, 1)])
def test_images(lead: tuple) -> None:
    x = np.arange(int(np.prod(lead, dtype=int)) * 24.0).reshape(*lead, 2, 3, 4)
    (got,) = to_canonical(graph((3, 4, 2), "NCHW", (1, 2, 3, 4)), x)
    assert np.array_equal(got, x.reshape(-1, 2, 3, 4).transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("onnx", "shape"),
    [
        ((1, 6, 4), (6, 4)),
        ((6, 1, 4), (6, 4)),
        ((6, 4), (6, 4)),
        ((1, 24), (1, 24)),
        ((24,), (1, 24)),
    ],
)
def test_tokens(onnx: tuple, shape: tuple) -> None:
    inner = onnx[1:] if onnx[0] == 1 else onnx
    x = np.arange(48.0).reshape(2, *inner)
    (got,) = to_canonical(graph(shape, "tokens", onnx), x)
    assert np.array_equal(got, x.reshape(2, *shape))


@pytest.mark.parametrize("shape", [(2, 4, 3), (0, 2, 3, 4), (24,), (5, 2, 3, 5)])
def test_other_shapes(shape: tuple) -> None:
    with pytest.raises(UsageError, match="do not match"):
        to_canonical(graph((3, 4, 2), "NCHW", (1, 2, 3, 4)), np.zeros(shape))


def test_round_half_up_and_saturation() -> None:
    g = graph((1, 5), "tokens", (1, 5), "int8")
    (q,) = quantise_input(g, np.array([[-1.75, 0.0, 0.25, 0.74, 1e9]], np.float32))
    assert q.dtype == np.int8 and q[0].tolist() == [[0, 3, 4, 4, 127]]
    assert dequantise(g, "x", q)[0].tolist() == [[-1.5, 0.0, 0.5, 0.5, 62.0]]


def two_inputs() -> Graph:
    values = {
        "image": Value("image", TensorType((3, 4, 2), "float32")),
        "tokens": Value("tokens", TensorType((5, 6), "float32")),
    }
    meta = {
        "input_layouts": ("NCHW", "tokens"),
        "input_shapes": ((1, 2, 3, 4), (1, 5, 6)),
    }
    return Graph("g", "float", ("image", "tokens"), ("tokens",), (), values, meta)


def test_every_input_by_its_own_layout() -> None:
    image, tokens = np.arange(48.0).reshape(2, 2, 3, 4), np.arange(60.0).reshape(2, 5, 6)
    for given in ((image, tokens), [image, tokens], {"tokens": tokens, "image": image}):
        got = to_canonical(two_inputs(), given)
        assert np.array_equal(got[0], image.transpose(0, 2, 3, 1))
        assert np.array_equal(got[1], tokens)


def test_missing_and_uneven_inputs() -> None:
    image, tokens = np.zeros((2, 2, 3, 4)), np.zeros((3, 5, 6))
    with pytest.raises(UsageError, match="as many samples: there are 2 of image, 3 of tokens"):
        to_canonical(two_inputs(), (image, tokens))
    with pytest.raises(UsageError, match="has 2 inputs, given are 1"):
        feeds(two_inputs(), image)
    with pytest.raises(UsageError, match="no array for input tokens"):
        feeds(two_inputs(), {"image": image})
