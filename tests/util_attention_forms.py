"""Attention in forms that are not the plain one, as nodes of ONNX files: frontend and chain follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph


def node(kind: str, inputs: str, output: str, **attrs: object) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=f"n_{output}", **attrs)


def rand(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


T, HEADS, D = 6, 3, 4
E = HEADS * D
N = node
SHAPES = {"split": np.asarray([1, T, HEADS, D]), "joined": np.asarray([1, T, E])}


def heads(letter: str, perm: Sequence[int] = (0, 2, 1, 3)) -> list[NodeProto]:
    """A projection of x[1, T, E], its heads apart."""
    return [
        N("MatMul", f"x w{letter}", f"{letter}1"),
        N("Reshape", f"{letter}1 split", f"{letter}2"),
        N("Transpose", f"{letter}2", letter, perm=list(perm)),
    ]


KEYS = heads("k", (0, 2, 3, 1))  # [1, heads, d, T]
PARTS = [*heads("q"), *KEYS, *heads("v")]
SCORES = [*PARTS, N("MatMul", "q k", "s")]
VALUES = [
    N("MatMul", "p v", "o"),
    N("Transpose", "o", "o1", perm=[0, 2, 1, 3]),
    N("Reshape", "o1 joined", "y"),
]
RAND = rand
C = np.float32
WEIGHTS = {f"w{p}": RAND(E, E, seed=ord(p)) for p in "qkvz"} | SHAPES
HIDDEN = np.triu(np.ones((T, T), bool), 1)
NO_KEY = HIDDEN | (np.arange(T) == 2)[:, None]  # row 2 sees nothing
FAR_ROWS = np.where(HIDDEN, C(-1e9), 300 * np.arange(T, dtype=np.float32)[:, None] + RAND(T, T))
FAR_ROWS[1] = [-1e9, *[-1e4] * (T - 1)]
FORMS: dict[str, tuple[list[NodeProto], dict, set[str]]] = {
    "scores alone": ([*SCORES, N("Relu", "s", "y")], {}, {"matmul"}),
    "probabilities alone": ([*SCORES, N("Softmax", "s", "y")], {}, {"matmul", "softmax"}),
    "softmax over queries": (
        [*SCORES, N("Softmax", "s", "p", axis=2), *VALUES], {}, {"matmul", "softmax"}),
    "softmax over heads": (
        [*SCORES, N("Softmax", "s", "p", axis=1), *VALUES], {}, {"matmul", "softmax"}),
    "a temperature of each head": (
        [*SCORES, N("Mul", "s t", "u"), N("Softmax", "u", "p"), *VALUES],
        {"t": RAND(HEADS, 1, 1)}, {"attention"}),
    "a temperature and a bias": (
        [*SCORES, N("Add", "s b", "a"), N("Div", "a t", "u"), N("Softmax", "u", "p"), *VALUES],
        {"t": 1 + np.abs(RAND(HEADS, 1, 1)), "b": RAND(1, T, T)}, {"attention"}),
    "a temperature of each query": (
        [*SCORES, N("Mul", "s t", "u"), N("Softmax", "u", "p"), *VALUES],
        {"t": RAND(HEADS, T, 1)}, {"attention"}),
    "a factor of each score": (
        [*SCORES, N("Mul", "s t", "u"), N("Softmax", "u", "p"), *VALUES],
        {"t": RAND(HEADS, T, T)}, {"matmul", "softmax"}),
    "talking heads, MatMul": (
        [*SCORES, N("Transpose", "s", "s1", perm=[0, 2, 3, 1]), N("MatMul", "s1 m", "s2"),
         N("Add", "s2 c", "s3"), N("Transpose", "s3", "s4", perm=[0, 3, 1, 2]),
         N("Softmax", "s4", "p1"), N("Transpose", "p1", "p2", perm=[0, 2, 3, 1]),
         N("MatMul", "p2 m", "p3"), N("Transpose", "p3", "p", perm=[0, 3, 1, 2]), *VALUES],
        {"m": RAND(HEADS, HEADS), "c": RAND(HEADS)}, {"matmul", "softmax"}),
    "talking heads, Conv": (
        [*SCORES, N("Conv", "s m c", "s1"), N("Softmax", "s1", "p1"), N("Conv", "p1 m", "p"),
         *VALUES],
        {"m": RAND(HEADS, HEADS, 1, 1), "c": RAND(HEADS)}, {"matmul", "softmax"}),
    "a gate between two attentions": (
        [*SCORES, N("Softmax", "s", "p1"), N("Mul", "p1 g", "p2"), N("Add", "p2 h", "p"), *VALUES],
        {"g": RAND(1, HEADS, 1, 1), "h": RAND(1, HEADS, T, T)}, {"matmul", "softmax"}),
    "a computed bias": (
        [*SCORES, N("MatMul", "x wz", "z"), N("Reshape", "z one", "z1"), N("Add", "s z1", "a"),
         N("Softmax", "a", "p"), *VALUES],
        {"wz": RAND(E, T), "one": np.asarray([1, 1, T, T])}, {"matmul", "softmax"}),
    "linear attention": (
        [*heads("q"), *KEYS, *heads("v"), N("Softmax", "k", "k3", axis=3), N("MatMul", "k3 v", "c"),
         N("MatMul", "q c", "o"), *VALUES[1:]], {}, {"matmul", "softmax"}),
    "channel attention": (
        [*heads("q", (0, 2, 3, 1)), *heads("k"), *heads("v", (0, 2, 3, 1)), N("MatMul", "q k", "s"),
         N("Mul", "s t", "u"), N("Softmax", "u", "p1"), N("Mul", "p1 two", "p"),
         N("MatMul", "p v", "o"), N("Transpose", "o", "o1", perm=[0, 3, 1, 2]),
         N("Reshape", "o1 joined", "y")],
        {"t": RAND(HEADS, 1, 1), "two": RAND(1, HEADS, 1, 1)}, {"matmul", "softmax"}),
    "a product of the other side": (
        [*PARTS, N("Transpose", "q", "q3", perm=[0, 1, 3, 2]), N("MatMul", "q3 q", "s"),
         N("MatMul", "q s", "o"), *VALUES[1:]], {}, {"matmul"}),
    "negated": (
        [*PARTS, N("Neg", "q", "q3"), N("MatMul", "q3 k", "s"), N("Tanh", "s", "y")], {}, {"matmul"}),
    "constant keys and values": (
        [*heads("q"), N("MatMul", "q ck", "s"), N("Softmax", "s", "p"), N("MatMul", "p cv", "o"),
         *VALUES[1:]],
        {"ck": RAND(1, HEADS, D, 5), "cv": RAND(1, HEADS, 5, D)}, {"matmul", "softmax"}),
    "a causal mask": (
        [*SCORES, N("Where", "hidden low s", "a"), N("Softmax", "a", "p"), *VALUES],
        {"hidden": HIDDEN, "low": C(-np.inf)}, {"attention"}),
    "a mask of mixed scores": (
        [*SCORES, N("Conv", "s m", "s1"), N("Add", "s1 mask", "a"), N("Softmax", "a", "p"), *VALUES],
        {"m": 0.3 * RAND(HEADS, HEADS, 1, 1), "mask": np.where(HIDDEN, C(-1e9), C(0))},
        {"matmul", "softmax"}),
    "a row that sees no key, which all weighs alike": (
        [*SCORES, N("Where", "hidden low s", "a"), N("Softmax", "a", "p"), *VALUES],
        {"hidden": NO_KEY, "low": C(-1e9)}, {"attention"}),
    "rows that begin far from 0, one that hides less": (
        [*SCORES, N("Add", "s mask", "a"), N("Softmax", "a", "p"), *VALUES],
        {"mask": FAR_ROWS}, {"attention"}),
    "a row that sees no key, which is 0": (
        [*SCORES, N("Where", "hidden low s", "a"), N("Softmax", "a", "p1"), N("IsNaN", "p1", "nan"),
         N("Where", "nan zero p1", "p"), *VALUES],
        {"hidden": NO_KEY, "low": C(-np.inf), "zero": C(0)}, {"attention"}),
    "probabilities under a mask": (
        [*SCORES, N("Softmax", "s", "p1"), N("Where", "hidden zero p1", "p"), *VALUES],
        {"hidden": HIDDEN, "zero": C(0)}, {"matmul", "softmax"}),
    "one of two activations": (
        [N("MatMul", "x wq", "a"), N("MatMul", "x wk", "b"), N("Where", "hidden a b", "y")],
        {"hidden": np.arange(T)[:, None] < 2}, {"add"}),
}  # fmt: skip


def model(nodes: Sequence[NodeProto], weights: Mapping[str, NDArray]) -> ModelProto:
    """x[1, T, E] -> y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, T, E])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    given = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph(list(nodes), "test", [x], [y], given)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def load(tmp_path: Path, proto: ModelProto) -> Graph:
    onnx.save(proto, tmp_path / "model.onnx")
    return load_model(tmp_path / "model.onnx", None)
