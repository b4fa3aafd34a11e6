"""The float reference: samples in batches only where the whole file has a free batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mcuformer.validate.reference import FloatReference

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4])
TURNED = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
FORMS: dict[str, tuple[list[NodeProto], list[int | str]]] = {
    "plain": ([helper.make_node("Relu", ["x"], ["y"])], ["N", 3, 4]),
    "shares over the batch": ([*TURNED, helper.make_node("Softmax", ["t"], ["y"], axis=1)], [3, "N", 4]),
    "one sample": ([helper.make_node("Reshape", ["x", "s"], ["y"])], [1, 12]),
    "undeclared": ([helper.make_node("Reshape", ["x", "s"], ["y"])], ["?", 12]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_samples_do_not_meet(tmp_path: Path, form: str) -> None:
    nodes, declared = FORMS[form]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)
    shape = numpy_helper.from_array(np.array([1, 12]), "s")
    graph = helper.make_graph(nodes, "g", [X], [y], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    reference = FloatReference(tmp_path / "m.onnx", [(1, 3, 4)], threads=1)
    assert (reference.batch > 1) == (form == "plain")
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    (together,) = reference.run([x])
    alone = [reference.run([row[None]])[0][0] for row in x]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
