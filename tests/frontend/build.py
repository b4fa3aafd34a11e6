"""Small ONNX models written by hand, for tests of the importer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph


def model(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, NDArray] | None = None,
    x: Sequence[int | str | None] = (1, 4, 6),
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> ModelProto:
    """A model with input "x" (float), the given nodes and initialisers."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 9
    return made


def load(tmp_path: Path, proto: ModelProto, **shapes: tuple[int, ...]) -> Graph:
    """Save and import."""
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    return load_model(path, shapes or None)


def node(kind: str, inputs: str, outputs: str, **attrs: object) -> NodeProto:
    """`inputs` and `outputs` as words; "_" is an absent input."""
    names = ["" if i == "_" else i for i in inputs.split()]
    return helper.make_node(
        kind, names, outputs.split(), name=f"n_{outputs.split(maxsplit=1)[0]}", **attrs
    )


def rand(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
