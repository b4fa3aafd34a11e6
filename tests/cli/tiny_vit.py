"""A vision transformer of a few hundred weights as an ONNX file, and data for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIM, HEADS, CLASSES = 8, 2, 3


def tiny_vit(path: Path, batch: int | str = 1, metadata: bool = True, odd: str = "") -> Path:
    """8x8 grey image, patch 4, one block, mean pool; mean and std in the metadata.

    `odd` goes into every name.
    """
    nodes, weights = _nodes()
    for node in nodes:
        node.name = odd + node.name
        for names in (node.input, node.output):
            names[:] = [n if n in ("image", "logits") else odd + n for n in names]
    weights = {odd + name: array for name, array in weights.items()}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, {"mcuformer.mean": "0.5", "mcuformer.std": "0.25"})
    onnx.save(model, path)
    return path


def tiny_data(path: Path, count: int = 12) -> Path:
    """uint8 images whose class is their brightest third."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 120, (count, 1, 8, 8), dtype=np.uint8)
    y = np.arange(count) % CLASSES
    for image, label in zip(x, y, strict=True):
        image[0, :, 3 * label : 3 * label + 2] += 120
    np.savez(path, x=x, y=y)
    return path


def _nodes() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    weights: dict[str, np.ndarray] = {}
    nodes: list[onnx.NodeProto] = []

    def const(name: str, array: np.ndarray) -> str:
        weights[name] = array
        return name

    def random(name: str, *shape: int) -> str:
        return const(name, (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32))

    def node(kind: str, inputs: list[str], out: str, **attrs: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], name=f"/{out}", **attrs))
        return out

    def norm(x: str, name: str) -> str:
        scale = const(f"{name}.weight", np.linspace(0.8, 1.2, DIM, dtype=np.float32))
        shift = const(f"{name}.bias", np.linspace(-0.1, 0.1, DIM, dtype=np.float32))
        return node("LayerNormalization", [x, scale, shift], name, axis=-1, epsilon=1e-5)

    def linear(x: str, name: str, k: int, n: int) -> str:
        y = node("MatMul", [x, random(f"{name}.weight", k, n)], f"{name}.mm")
        return node("Add", [y, random(f"{name}.bias", n)], name)

    x = node(
        "Conv",
        ["image", random("patch.weight", DIM, 1, 4, 4), random("patch.bias", DIM)],
        "patch",
        kernel_shape=[4, 4],
        strides=[4, 4],
    )
    x = node("Reshape", [x, const("to_rows", np.array([1, DIM, 4]))], "rows")
    x = node("Transpose", [x], "tokens", perm=[0, 2, 1])
    x = node("Add", [x, random("pos", 1, 4, DIM)], "embedded")
    qkv = linear(norm(x, "norm1"), "qkv", DIM, 3 * DIM)
    qkv = node("Reshape", [qkv, const("to_heads", np.array([1, 4, 3, HEADS, 4]))], "heads")
    qkv = node("Transpose", [qkv], "qkv_first", perm=[2, 0, 3, 1, 4])
    q, k, v = (
        node("Gather", [qkv, const(f"index{i}", np.array(i))], name, axis=0)
        for i, name in enumerate("qkv")
    )
    k = node("Transpose", [k], "kt", perm=[0, 1, 3, 2])
    scores = node("Mul", [node("MatMul", [q, k], "qk"), const("scale", np.float32(0.5))], "scaled")
    mixed = node("MatMul", [node("Softmax", [scores], "probs", axis=-1), v], "mixed")
    mixed = node("Transpose", [mixed], "joined", perm=[0, 2, 1, 3])
    mixed = node("Reshape", [mixed, const("to_tokens", np.array([1, 4, DIM]))], "attended")
    x = node("Add", [x, linear(mixed, "proj", DIM, DIM)], "added1")
    hidden = node("Relu", [linear(norm(x, "norm2"), "fc1", DIM, 16)], "relu")
    x = node("Add", [x, linear(hidden, "fc2", 16, DIM)], "added2")
    x = node("ReduceMean", [norm(x, "norm")], "pooled", axes=[1], keepdims=0)
    linear(x, "logits", DIM, CLASSES)
    return nodes, weights
