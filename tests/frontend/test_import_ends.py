"""Several inputs, each by its own layout, and several outputs: all come out right or are refused by name."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import zoo
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mcuformer.errors import McuformerError, UnsupportedModelError
from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float


def reference(proto: ModelProto, feeds: dict[str, NDArray]) -> list[NDArray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return list(ort.InferenceSession(proto.SerializeToString(), options).run(None, feeds))


def agree(graph: Graph, proto: ModelProto, feeds: dict[str, NDArray]) -> None:
    ours = onnx_outputs(graph, run_float(graph, list(feeds.values())))
    for got, want in zip(ours, reference(proto, feeds), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, 1e-4, 1e-5)


def with_inputs(proto: ModelProto, **more: list[int | str]) -> ModelProto:
    for name, dims in more.items():
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        proto.graph.input.append(info)
    return proto


def test_inputs_of_every_layout(tmp_path: Path) -> None:
    """Free batch axes are bound on all of them; every one keeps its name, shape and layout."""
    nodes = [
        build.node("Conv", "x w", "a", strides=[2, 2]),
        build.node("Reshape", "a rows", "b"),
        build.node("Transpose", "b", "c", perm=[0, 2, 1]),
        build.node("Concat", "c tokens", "d", axis=1),
        build.node("Unsqueeze", "state axis", "e"),
        build.node("Add", "d e", "y"),
    ]
    weights = {
        "w": build.rand(6, 3, 2, 2),
        "rows": np.array([0, 6, 4]),
        "axis": np.array([1]),
    }
    proto = build.model(nodes, weights, x=["N", 3, 4, 4])
    with_inputs(proto, tokens=["N", 5, 6], state=["N", 6])
    graph = build.load(tmp_path, proto)
    assert graph.meta["input_names"] == ("x", "tokens", "state")
    assert graph.meta["input_layouts"] == ("NCHW", "tokens", "flat")
    assert graph.meta["input_shapes"] == ((1, 3, 4, 4), (1, 5, 6), (1, 6))
    feeds = {"x": build.rand(1, 3, 4, 4), "tokens": build.rand(1, 5, 6), "state": build.rand(1, 6)}
    agree(graph, proto, feeds)


def test_inputs_that_are_none_and_that_nothing_reads(tmp_path: Path) -> None:
    """Old files list initialisers as inputs; an input without a reader stays one."""
    proto = build.model([build.node("MatMul", "x w", "y")], {"w": build.rand(6, 3)})
    with_inputs(proto, w=[6, 3], spare=[1, 2, 2])
    graph = build.load(tmp_path, proto)
    assert graph.meta["input_names"] == ("x", "spare") and len(graph.inputs) == 2
    agree(graph, proto, {"x": build.rand(1, 4, 6), "spare": build.rand(1, 2, 2)})


def test_an_input_of_another_type_is_named(tmp_path: Path) -> None:
    proto = build.model([build.node("Relu", "x", "y")])
    proto.graph.input.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 4]))
    with pytest.raises(UnsupportedModelError, match="'ids' is int64"):
        build.load(tmp_path, proto)


OUTPUTS = {
    "two of one value": ([build.node("Identity", "h", "again")], "again"),
    "read inside": ([], "h"),
    "reshaped": ([build.node("Reshape", "h flat", "z")], "z"),
    "transposed": ([build.node("Transpose", "h", "z", perm=[0, 2, 1])], "z"),
    "some rows": ([build.node("Slice", "h one three row_axis", "z")], "z"),
    "some channels": ([build.node("Slice", "h one three channel_axis", "z")], "z"),
    "one row": ([build.node("Gather", "h index", "z", axis=1)], "z"),
    "scaled": ([build.node("Mul", "h factor", "z")], "z"),
    "the input": ([build.node("Identity", "x", "z")], "z"),
    "rows of the input": ([build.node("Slice", "x one three row_axis", "z")], "z"),
    "the input turned": ([build.node("Transpose", "x", "z", perm=[0, 2, 1])], "z"),
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs(tmp_path: Path, kind: str, first: bool) -> None:
    nodes, name = OUTPUTS[kind]
    layer = [
        build.node("MatMul", "x w", "g"),
        build.node("Relu", "g", "h"),
        build.node("MatMul", "h v", "y"),
    ]
    weights = {
        "w": build.rand(6, 5), "v": build.rand(5, 3), "flat": np.array([1, 20]),
        "one": np.array([1]), "three": np.array([3]), "row_axis": np.array([1]),
        "channel_axis": np.array([2]), "index": np.array(2), "factor": np.array(-2.5, np.float32),
    }  # fmt: skip
    outputs = [name, "y"] if first else ["y", name]
    proto = build.model([*layer, *nodes], weights, outputs=outputs)
    graph = build.load(tmp_path, proto)
    assert graph.meta["output_names"] == tuple(outputs)
    agree(graph, proto, {"x": build.rand(1, 4, 6)})


@pytest.mark.parametrize(
    ("nodes", "name", "reason"),
    [
        ([build.node("Identity", "w", "z")], "z", "does not depend on the input"),
        ([], "w", "does not depend on the input"),
        ([build.node("Sign", "g", "e"), build.node("Mul", "e g", "z")], "z", "Sign 'n_e'"),
        ([build.node("Dropout", "g", "h z")], "z", "not supported"),
    ],
)
def test_outputs_that_cannot_be_made_are_named(
    tmp_path: Path, nodes: list[onnx.NodeProto], name: str, reason: str
) -> None:
    layer = [build.node("MatMul", "x w", "g"), build.node("Relu", "g", "y")]
    proto = build.model([*layer, *nodes], {"w": build.rand(6, 6)}, outputs=["y", name])
    with pytest.raises(UnsupportedModelError) as caught:
        build.load(tmp_path, proto)
    assert caught.value.exit_code == 3
    assert f"graph output '{name}'" in str(caught.value) and reason in str(caught.value)


@pytest.mark.parametrize("seed", range(12))
def test_any_activation_of_the_zoo_may_be_an_output(tmp_path: Path, seed: int) -> None:
    """Drawn activations beside the model's own output: as onnxruntime has them, or refused by name."""
    rng = np.random.default_rng(seed)
    names = [n for n in zoo.PLAIN if "masked" not in n and "dynamic" not in n]
    name = names[rng.integers(len(names))]
    proto = onnx.load(zoo.path(name))
    values = [out for node in proto.graph.node for out in node.output if out]
    values = [v for v in values if v not in {o.name for o in proto.graph.output}]
    kept = []
    for value in rng.choice(values, 4, replace=False):
        alone = _with_outputs(proto, [str(value)])
        try:
            reference(alone, {proto.graph.input[0].name: zoo.zoo_input(zoo.shape(name))})
        except Exception:  # noqa: BLE001, the type is not the float that was declared: shape arithmetic
            continue
        (tmp_path / "m.onnx").write_bytes(alone.SerializeToString())
        try:
            load_model(tmp_path / "m.onnx")
            kept.append(str(value))
        except McuformerError as error:
            assert repr(str(value)) in str(error) or "attention" in str(error)
    proto = _with_outputs(proto, kept)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    feeds = {proto.graph.input[0].name: zoo.zoo_input(zoo.shape(name))}
    agree(load_model(tmp_path / "m.onnx"), proto, feeds)


def _with_outputs(proto: ModelProto, names: list[str]) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(proto)
    for name in names:
        copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return copy


def test_scales_of_every_input_of_a_qdq_model(tmp_path: Path) -> None:
    nodes = [
        build.node("QuantizeLinear", "x sx zx", "qx"),
        build.node("DequantizeLinear", "qx sx zx", "dx"),
        build.node("QuantizeLinear", "z sz zz", "qz"),
        build.node("DequantizeLinear", "qz sz zz", "dz"),
        build.node("Add", "dx dz", "y"),
    ]
    weights = {
        "sx": np.float32(0.5), "zx": np.int8(3), "sz": np.float32(0.25), "zz": np.int8(-4),
    }  # fmt: skip
    graph = build.load(tmp_path, with_inputs(build.model(nodes, weights), z=[1, 4, 6]))
    assert graph.meta["qdq"]["x"] == (0.5, 3, "int8")
    assert graph.meta["qdq"]["z"] == (0.25, -4, "int8")
