"""ArgMax: along any axis, with and without its dimension, the first of equals."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import NodeProto, TensorProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float
from mcuformer.ir.onnx_ops.base import wrapped


def check(tmp_path: Path, nodes: list[NodeProto], x: list[int]) -> Graph:
    """Import and run on numbers with many ties; compare with onnxruntime."""
    proto = build.model(nodes, {}, x=x)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    graph = build.load(tmp_path, proto)
    data = np.round(build.rand(*x, seed=9))
    (ours,) = onnx_outputs(graph, run_float(graph, data))
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), data)
    assert ours.shape == reference.shape
    np.testing.assert_array_equal(ours, reference)
    return graph


@pytest.mark.parametrize("keepdims", (0, 1))
@pytest.mark.parametrize("axis", (-1, 1, 2))
def test_axes(tmp_path: Path, axis: int, keepdims: int) -> None:
    node = build.node("ArgMax", "x", "y", axis=axis, keepdims=keepdims)
    graph = check(tmp_path, [node], [1, 6, 9])
    assert graph.ops[-1].kind == "argmax" or graph.ops[-1].kind == "reshape"
    assert len(graph.meta["output_shapes"][0]) == 2 + keepdims
    assert wrapped(axis, 3) in (1, 2)


def test_the_dimension_is_kept_by_default(tmp_path: Path) -> None:
    graph = check(tmp_path, [build.node("ArgMax", "x", "y", axis=1)], [1, 40])
    assert graph.meta["output_shapes"][0] == (1, 1)


def test_behind_a_softmax_and_as_int32(tmp_path: Path) -> None:
    nodes = [
        build.node("Softmax", "x", "p", axis=-1),
        build.node("ArgMax", "p", "i", axis=-1, keepdims=0),
        build.node("Cast", "i", "y", to=TensorProto.INT64),
    ]
    assert [op.kind for op in check(tmp_path, nodes, [1, 30]).ops] == ["argmax"]


def test_refused(tmp_path: Path) -> None:
    last = build.node("ArgMax", "x", "y", axis=1, select_last_index=1)
    with pytest.raises(UnsupportedModelError, match="last of equals"):
        build.load(tmp_path, build.model([last], {}, x=[1, 5]))


def test_the_least(tmp_path: Path) -> None:
    check(tmp_path, [build.node("ArgMin", "x", "y", axis=1)], [1, 5])
    nodes = [build.node("Neg", "x", "n"), build.node("ArgMax", "n", "y", axis=1)]
    check(tmp_path, nodes, [1, 5])
