"""Images with their channels last, and images in bytes: what they become, and which inputs are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build import load, model, node, rand
from onnx import ModelProto, NodeProto, TensorProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.load import load_raw
from mcuformer.frontend.pixels import channels_last
from mcuformer.inputs.codec import InputCodec
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_float, run_onnx

SIZE = (10, 12)
LAST, FIRST = (1, *SIZE, 3), (1, 3, *SIZE)
CONV = [node("Conv", "t w", "c", pads=[1, 1, 1, 1]), node("GlobalAveragePool", "c", "y")]
FORWARD = node("Transpose", "n", "t", perm=[0, 3, 1, 2])
WEIGHTS = {"w": rand(4, 3, 3, 3, seed=1)}


def normalised(axis_last: bool) -> list[NodeProto]:
    """From bytes "x" to "n"."""
    return [
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("Div", "f k", "d"),
        node("Sub", "d m", "e"),
        node("Mul", "e s", "n"),
    ]


def constants(axis_last: bool) -> dict[str, np.ndarray]:
    shape = (1, 1, 1, 3) if axis_last else (1, 3, 1, 1)
    mean, factor = np.reshape([0.5, 0.4, 0.45], shape), np.reshape([4.0, 4.5, 5.0], shape)
    return {"k": np.float32(255), "m": mean.astype(np.float32), "s": factor.astype(np.float32)}


def in_bytes(axis_last: bool) -> ModelProto:
    conv = CONV if axis_last else [node("Conv", "n w", "c", pads=[1, 1, 1, 1]), CONV[1]]
    nodes = [*normalised(axis_last), *([FORWARD] if axis_last else []), *conv]
    proto = model(nodes, WEIGHTS | constants(axis_last), LAST if axis_last else FIRST)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return proto


def equals_the_file(tmp_path: Path, graph: Graph, x: np.ndarray, reals: np.ndarray) -> None:
    """`x` as the file takes it; `reals` as the canonical graph does."""
    raw = load_raw(tmp_path / "model.onnx")
    expected = run_onnx(raw, {"x": x})["y"]
    got = run_float(graph, [reals])[graph.outputs[0]]
    np.testing.assert_allclose(got.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis_last", [True, False])
def test_bytes_that_the_model_normalises(tmp_path: Path, axis_last: bool) -> None:
    graph = load(tmp_path, in_bytes(axis_last))
    assert not {"add", "mul"} & {op.kind for op in graph.ops}
    (pixels,) = graph.meta["input_pixels"]
    x = np.random.default_rng(0).integers(0, 256, FIRST).astype(np.uint8)
    codec = InputCodec(graph, [pixels])
    (reals,), (file,) = codec.to_float([x]), codec.to_file([x])
    assert file.dtype == np.uint8 and file.shape == (LAST if axis_last else FIRST)
    equals_the_file(tmp_path, graph, file, reals)
    (again,) = codec.to_float([x.astype(np.float32)])  # bytes may come as floats
    np.testing.assert_array_equal(again, reals)


def test_an_image_with_its_channels_last(tmp_path: Path) -> None:
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), *CONV]
    graph = load(tmp_path, model(nodes, WEIGHTS, LAST))
    assert graph.meta["input_layouts"] == ("NHWC",)
    assert graph.type(graph.inputs[0]).shape == (*SIZE, 3)
    assert "gather" not in {op.kind for op in graph.ops}
    x = rand(*LAST)
    equals_the_file(tmp_path, graph, x, x)
    equals_the_file(tmp_path, graph, x, x.transpose(0, 3, 1, 2))  # as samples are held here
    (file,) = InputCodec(graph).to_file([x.transpose(0, 3, 1, 2)])
    np.testing.assert_array_equal(file, x)


@pytest.mark.parametrize(
    ("nodes", "shape", "last"),
    [
        ([node("Transpose", "x", "y", perm=[0, 3, 1, 2])], (1, 8, 8, 16), True),
        ([node("Transpose", "x", "y", perm=[0, 2, 3, 1])], (1, 8, 8, 3), False),
        ([node("Conv", "x w", "y")], (1, 3, 8, 3), False),
        ([node("Relu", "x", "y")], (1, 8, 8, 3), True),
        ([node("Relu", "x", "y")], (1, 3, 8, 3), False),
        ([node("Relu", "x", "y")], (1, 3, 8, 8), False),
    ],
)
def test_which_axis_is_the_channels(
    tmp_path: Path, nodes: list[NodeProto], shape: tuple[int, ...], last: bool
) -> None:
    used = {i for n in nodes for i in n.input}
    load(tmp_path, model(nodes, {k: v for k, v in WEIGHTS.items() if k in used}, shape))
    assert channels_last(load_raw(tmp_path / "model.onnx"), "x") == last


@pytest.mark.parametrize("shape", [(1, 6), FIRST])
def test_bytes_that_are_no_image_or_not_converted(tmp_path: Path, shape: tuple[int, ...]) -> None:
    cast = node("Cast", "x", "y", to=TensorProto.FLOAT)
    proto = model([cast] if len(shape) == 2 else [node("Add", "x x", "y")], {}, shape)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(UnsupportedModelError, match="uint8 that is cast to float"):
        load(tmp_path, proto)


@pytest.mark.parametrize("reader", ["Relu", "GlobalMaxPool", "Softmax"])
def test_bytes_that_an_operator_of_one_operand_reads(tmp_path: Path, reader: str) -> None:
    proto = model([*normalised(False), node(reader, "n", "y")], constants(False), FIRST)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    graph = load(tmp_path, proto)
    (pixels,) = graph.meta["input_pixels"]
    x = np.random.default_rng(0).integers(0, 256, FIRST).astype(np.uint8)
    (reals,) = InputCodec(graph, [pixels]).to_float([x])
    equals_the_file(tmp_path, graph, x, reals)
