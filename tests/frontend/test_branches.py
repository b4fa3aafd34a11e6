"""An If that shapes decide is the branch that it takes, beside onnxruntime; others are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from build import load, model, node, rand
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.load import load_raw
from mcuformer.ir.interp_float import run_float, run_onnx

SHAPE = (1, 4, 6)


def branch(nodes: Sequence[NodeProto], **weights: np.ndarray) -> GraphProto:
    """Its result is "z"."""
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [result], tensors)


def choosing(then: GraphProto, other: GraphProto, tokens: int) -> ModelProto:
    """`then` where x has more than `tokens` tokens."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s one", "t"),
        node("Greater", "t n", "c"),
        node("Relu", "x", "r"),
        helper.make_node("If", ["c"], ["i"], name="choice", then_branch=then, else_branch=other),
        node("Add", "i r", "y"),
    ]
    return model(nodes, {"one": np.asarray(1), "n": np.asarray(tokens)}, SHAPE)


SCALED = branch([node("Mul", "r k", "a"), node("Sigmoid", "a", "z")], k=np.float32(3))
SHIFTED = branch([node("Add", "x k", "a"), node("Tanh", "a", "z")], k=rand(6))


def agrees(tmp_path: Path, proto: ModelProto) -> None:
    ort = pytest.importorskip("onnxruntime")
    x = rand(*SHAPE, seed=9)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    graph = load(tmp_path, proto)
    raw = load_raw(tmp_path / "model.onnx")
    assert "If" not in {op.kind for op in raw.ops}
    np.testing.assert_allclose(run_onnx(raw, {"x": x})["y"], expected, rtol=1e-5, atol=1e-6)
    got = run_float(graph, [x])[graph.outputs[0]].reshape(expected.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tokens", [3, 4])
def test_either_branch(tmp_path: Path, tokens: int) -> None:
    """Both read what stands around them, and use the same names inside."""
    agrees(tmp_path, choosing(SCALED, SHIFTED, tokens))


def test_a_branch_within_a_branch(tmp_path: Path) -> None:
    inner = helper.make_node("If", ["d"], ["z"], name="i", then_branch=SCALED, else_branch=SHIFTED)
    outer = branch([node("Less", "t n", "d"), inner])
    agrees(tmp_path, choosing(outer, SCALED, 3))


def test_two_that_take_one_branch(tmp_path: Path) -> None:
    proto = choosing(SCALED, SHIFTED, 3)
    again = helper.make_node("If", ["c"], ["j"], name="k", then_branch=SCALED, else_branch=SHIFTED)
    proto.graph.node.insert(5, again)
    proto.graph.node[6].input[1] = "j"
    agrees(tmp_path, proto)


def test_what_the_input_decides_is_refused(tmp_path: Path) -> None:
    proto = choosing(SCALED, SHIFTED, 3)
    proto.graph.node[1].CopyFrom(node("ReduceSum", "x", "m", keepdims=0))
    proto.graph.node.insert(2, node("Cast", "m", "t", to=TensorProto.INT64))
    with pytest.raises(
        UnsupportedModelError, match="If 'choice': control flow: the model's input decides"
    ) as caught:
        load(tmp_path, proto)
    assert "shapes alone" in str(caught.value.hint)


def test_a_loop_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("Identity", "c", "d"), node("Relu", "v", "w")],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in
         (("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("v", TensorProto.FLOAT, SHAPE))],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []),
         helper.make_tensor_value_info("w", TensorProto.FLOAT, SHAPE)],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["m", "t", "x"], ["y"], name="turns", body=body)
    with pytest.raises(
        UnsupportedModelError, match=r"Loop 'turns': control flow: tracing .* unrolls a fixed"
    ):
        load(tmp_path, model([loop], {"m": np.asarray(3), "t": np.asarray(True)}, SHAPE))
