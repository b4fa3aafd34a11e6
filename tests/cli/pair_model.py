"""A model with two inputs and three outputs as an ONNX file, and data for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS, DIM, STATE, CLASSES = 4, 8, 5, 3


def pair_model(path: Path, batch: int | str = "batch", unused: bool = False) -> Path:
    """An 8x8 grey image in patches, a state vector "the/state" added to its pooled rows.

    Outputs: the rows of tokens, which are read inside too, class scores, and the state passed
    through. `unused`: a third input that nothing reads.
    """
    rng = np.random.default_rng(8)
    weights = {
        "patch": rng.normal(size=(DIM, 1, 4, 4)) / 4,
        "mix": rng.normal(size=(DIM, DIM)) / 3,
        "of_state": rng.normal(size=(STATE, DIM)) / 2,
        "head": rng.normal(size=(DIM, CLASSES)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "patch"], ["grid"], name="/patch", strides=[4, 4]),
        helper.make_node("Reshape", ["grid", "to_rows"], ["rows"], name="/rows"),
        helper.make_node("Transpose", ["rows"], ["turned"], name="/turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["turned", "mix"], ["mixed"], name="/mix"),
        helper.make_node("Relu", ["mixed"], ["tokens"], name="/relu"),
        helper.make_node("ReduceMean", ["tokens"], ["pooled"], name="/pool", axes=[1], keepdims=0),
        helper.make_node("MatMul", ["the/state", "of_state"], ["moved"], name="/state"),
        helper.make_node("Add", ["pooled", "moved"], ["sum"], name="/sum"),
        helper.make_node("MatMul", ["sum", "head"], ["logits"], name="/head"),
        helper.make_node("Identity", ["the/state"], ["echo"], name="/echo"),
    ]
    tensor = helper.make_tensor_value_info
    inputs = [
        tensor("image", TensorProto.FLOAT, [batch, 1, 8, 8]),
        tensor("the/state", TensorProto.FLOAT, [batch, STATE]),
    ]
    inputs += [tensor("spare", TensorProto.FLOAT, [batch, 2])] if unused else []
    outputs = [
        tensor("tokens", TensorProto.FLOAT, [batch, TOKENS, DIM]),
        tensor("logits", TensorProto.FLOAT, [batch, CLASSES]),
        tensor("echo", TensorProto.FLOAT, [batch, STATE]),
    ]
    constants = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    constants.append(numpy_helper.from_array(np.array([0, DIM, TOKENS]), "to_rows"))
    graph = helper.make_graph(nodes, "pair", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"mcuformer.mean": "0.5", "mcuformer.std": "0.25"})
    onnx.save(model, path)
    return path


def pair_data(path: Path, count: int = 12) -> Path:
    """Pixels, states, and labels at random."""
    rng = np.random.default_rng(9)
    arrays = {
        "image": rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8),
        "the/state": rng.normal(size=(count, STATE)).astype(np.float32),
        "labels": rng.integers(0, CLASSES, count),
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
