"""mcuformer/inputs/codec.py: ONNX floats and device integers are the same sample."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.errors import UsageError
from mcuformer.inputs.codec import InputCodec, TensorCodec, device_bytes
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams, TensorType, Value

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PIXELS = np.random.default_rng(2).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)


def graph(dtype: str) -> Graph:
    """One image input."""
    std, mean = np.array(STD), np.array(MEAN)
    raw = QParams(1 / (255 * std), 255 * mean)
    qparams = raw if dtype == "uint8" else QParams(np.array(0.02), np.array(5.0))
    value = Value("x", TensorType((4, 5, 3), dtype, qparams))
    meta = {"input_layouts": ("NCHW",), "input_shapes": ((1, 3, 4, 5),)}
    return Graph("g", "int", ("x",), ("x",), (), {"x": value}, meta)


def codec(dtype: str) -> TensorCodec:
    return InputCodec(graph(dtype), [(MEAN, STD)]).tensors[0]


def test_pixels_to_floats_by_either_way() -> None:
    expected = (PIXELS / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    for dtype in ("uint8", "int8"):
        assert np.allclose(codec(dtype).to_float(PIXELS), expected, atol=1e-6)


def test_pixels_reach_the_device_untouched() -> None:
    c = codec("uint8")
    assert np.array_equal(c.to_int(PIXELS), PIXELS.transpose(0, 2, 3, 1))
    assert np.array_equal(c.to_int(c.to_float(PIXELS)), PIXELS.transpose(0, 2, 3, 1))


def test_int8_input() -> None:
    floats = np.full((1, 3, 4, 5), 0.1, np.float32)
    assert np.array_equal(codec("int8").to_int(floats), np.full((1, 4, 5, 3), 10, np.int8))


def test_raw_in_both_layouts() -> None:
    c = codec("uint8")
    device = PIXELS[0].transpose(1, 2, 0)
    for array in (PIXELS[:1], PIXELS[0], device, device[None]):
        assert np.array_equal(c.raw(array), device)
    with pytest.raises(UsageError, match="wants uint8, the file holds int8"):
        c.raw(PIXELS[0].astype(np.int8))
    with pytest.raises(UsageError, match="the model wants"):
        c.raw(PIXELS)


def test_pixels_without_mean() -> None:
    (bare,) = InputCodec(graph("int8")).tensors
    with pytest.raises(UsageError, match="mean and std"):
        bare.to_float(PIXELS)


def test_sequence_with_its_batch_axis_in_the_middle() -> None:
    value = Value("x", TensorType((7, 2), "int8", QParams(np.array(1.0), np.array(0.0))))
    meta = {"input_layouts": ("tokens",), "input_shapes": ((7, 1, 2),)}
    (c,) = InputCodec(Graph("g", "int", ("x",), ("x",), (), {"x": value}, meta)).tensors
    assert c.sample_shape == (7, 2)
    assert c.one(np.zeros((7, 1, 2), np.float32)).shape == (1, 7, 2)


def test_several_inputs() -> None:
    """Each by its own layout and format; a runner gets the bytes of all, sample by sample."""
    one = graph("uint8")
    tokens = Value("extra", TensorType((2, 3), "int8", QParams(np.array(0.5), np.array(1.0))))
    meta = {
        "input_names": ("image", "an/extra"),
        "input_layouts": ("NCHW", "tokens"),
        "input_shapes": ((1, 3, 4, 5), (1, 2, 3)),
    }
    values = {**one.values, "extra": tokens}
    c = InputCodec(Graph("g", "int", ("x", "extra"), ("x",), (), values, meta), [(MEAN, STD)])
    assert [(i.name, i.shape) for i in c.inputs] == [("image", (3, 4, 5)), ("an/extra", (2, 3))]
    assert c.inputs[1].spellings == ("an/extra", "extra", "an_extra")
    floats = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    image, extra = c.to_int((PIXELS, floats))
    assert np.array_equal(image, PIXELS.transpose(0, 2, 3, 1)) and extra.dtype == np.int8
    assert np.array_equal(extra, 2 * floats + 1)
    joined = device_bytes((image, extra))
    assert joined == [image[i].tobytes() + extra[i].tobytes() for i in range(2)]
    raw = c.raw({"x": PIXELS[:1], "extra": extra[0]})
    assert device_bytes(raw) == joined[:1]
