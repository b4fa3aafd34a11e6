"""Opsets 7 to 12: what their nodes mean, beside onnxruntime, which reads them as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from build import load, model, node, rand
from onnx import ModelProto, NodeProto, TensorProto, helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.load import load_raw
from mcuformer.frontend.proto import MAX_OPSET
from mcuformer.ir.interp_float import run_float, run_onnx

IMAGE = (1, 4, 6, 8)
# Nodes from "x" to "y", and the newest opset that writes them so.
CASES: dict[str, tuple[int, list[NodeProto]]] = {
    "clip": (10, [node("Clip", "x", "y", min=-0.5, max=0.7)]),
    "clip below": (10, [node("Clip", "x", "y", min=0.0)]),
    "clip nothing": (10, [node("Clip", "x", "y")]),
    "pad": (10, [node("Pad", "x", "y", pads=[0, 0, 1, 2, 0, 0, 3, 0])]),
    "pad reflect": (10, [node("Pad", "x", "y", mode="reflect", pads=[0, 0, 1, 2, 0, 0, 3, 0])]),
    "slice": (9, [node("Slice", "x", "y", starts=[1, 0], ends=[4, -2], axes=[2, 3])]),
    "slice all axes": (9, [node("Slice", "x", "y", starts=[0, 1], ends=[1, 9])]),
    "upsample": (8, [node("Upsample", "x", "y", mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])]),
    "softmax 1": (12, [node("Softmax", "x", "y")]),
    "softmax 2": (12, [node("Softmax", "x", "y", axis=2)]),
    "softmax last": (12, [node("Softmax", "x", "y", axis=3)]),
    "softmax negative": (12, [node("Softmax", "x", "y", axis=-1)]),
    "squeeze": (12, [node("Squeeze", "x", "a", axes=[0]), node("Unsqueeze", "a", "y", axes=[0])]),
    "split": (12, [node("Split", "x", "p q", axis=1, split=[1, 3]), node("Relu", "q", "y")]),
    "sum": (12, [node("ReduceSum", "x", "y", axes=[2, 3], keepdims=1)]),
    "mean": (12, [node("ReduceMean", "x", "y", axes=[-1])]),
    "dropout": (11, [node("Dropout", "x", "y", ratio=0.5)]),
    "norm": (8, [node("BatchNormalization", "x s b m v", "y", epsilon=1e-3, momentum=0.9)]),
    "pool": (9, [node("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])]),
    "gemm": (10, [node("Flatten", "x", "f"), node("Gemm", "f w c", "y", transB=1)]),
}  # fmt: skip
WEIGHTS = {
    "s": rand(4, seed=1), "b": rand(4, seed=2), "m": rand(4, seed=3), "v": rand(4, seed=4) ** 2 + 0.1,
    "w": rand(5, 192, seed=5), "c": rand(5, seed=6),
}  # fmt: skip


def written(name: str, opset: int) -> ModelProto:
    nodes = CASES[name][1]
    read = {i for n in nodes for i in n.input}
    proto = model(nodes, {k: v for k, v in WEIGHTS.items() if k in read}, IMAGE, opset=opset)
    proto.ir_version = 4
    proto.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return proto


def agree(tmp_path: Path, proto: ModelProto, x: np.ndarray) -> None:
    """Our evaluator of the file's nodes, and the canonical graph where it comes so far."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    graph = load(tmp_path, proto)
    raw = load_raw(tmp_path / "model.onnx")
    assert raw.meta["opset"] == proto.opset_import[0].version
    np.testing.assert_allclose(run_onnx(raw, {"x": x})["y"], expected, rtol=1e-4, atol=1e-5)
    got = run_float(graph, [x])[graph.outputs[0]]
    np.testing.assert_allclose(got.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("newest", [True, False])
def test_beside_onnxruntime(tmp_path: Path, name: str, newest: bool) -> None:
    agree(tmp_path, written(name, CASES[name][0] if newest else 7), rand(*IMAGE))


@pytest.mark.parametrize("opset", [9, 10])
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 3, 1), (1, 1, 0.5, 0.5)])
def test_scales_as_an_input(tmp_path: Path, opset: int, scales: tuple[float, ...]) -> None:
    kind = "Upsample" if opset == 9 else "Resize"
    if opset == 9 and min(scales) < 1:
        pytest.skip("Upsample makes nothing smaller")
    weights = {"scales": np.asarray(scales, np.float32)}
    agree(tmp_path, model([node(kind, "x scales", "y")], weights, IMAGE, opset=opset), rand(*IMAGE))


def test_linear_upsample_of_a_constant(tmp_path: Path) -> None:
    weights = {"p": rand(1, 4, 3, 4), "scales": np.asarray([1, 1, 2, 2], np.float32)}
    nodes = [node("Upsample", "p scales", "q", mode="linear"), node("Add", "x q", "y")]
    agree(tmp_path, model(nodes, weights, IMAGE, opset=9), rand(*IMAGE))


@pytest.mark.parametrize("axis", [1, 2])
def test_a_softmax_behind_nothing_but_ones(tmp_path: Path, axis: int) -> None:
    nodes = [node("GlobalAveragePool", "x", "p"), node("Softmax", "p", "y", axis=axis)]
    agree(tmp_path, model(nodes, {}, IMAGE, opset=11), rand(*IMAGE))


def test_statistics_per_element_are_refused(tmp_path: Path) -> None:
    proto = written("norm", 8)
    proto.graph.node[0].attribute.append(helper.make_attribute("spatial", 0))
    with pytest.raises(UnsupportedModelError, match="spatial=0"):
        load(tmp_path, proto)


def test_a_dropout_that_drops_is_refused(tmp_path: Path) -> None:
    nodes = [node("Dropout", "x r t", "y")]
    weights = {"r": np.float32(0.5), "t": np.asarray(True)}
    with pytest.raises(UnsupportedModelError, match="training mode"):
        load(tmp_path, model(nodes, weights, IMAGE))


def test_up_to_the_newest_of_the_installed_onnx(tmp_path: Path) -> None:
    assert onnx.defs.onnx_opset_version() == MAX_OPSET
    load(tmp_path, model([node("Relu", "x", "y")], {}, IMAGE, opset=MAX_OPSET))
