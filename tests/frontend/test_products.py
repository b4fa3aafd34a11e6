"""Products of two activations that are no fused attention: the same numbers, by which operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import NodeProto

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

T, HEADS, D = 6, 3, 4
E = HEADS * D
N = build.node
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
RAND = build.rand
C = np.float32
WEIGHTS = {f"w{p}": RAND(E, E, seed=ord(p)) for p in "qkvz"} | SHAPES
HIDDEN = np.triu(np.ones((T, T), bool), 1)
NO_KEY = HIDDEN | (np.arange(T) == 2)[:, None]  # row 2 sees nothing
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


def imported(tmp_path: Path, nodes: list[NodeProto], weights: dict, opset: int = 17) -> Graph:
    """The canonical graph, which computes what onnxruntime does."""
    proto = build.model(nodes, WEIGHTS | weights, x=[1, T, E], opset=opset)
    graph = build.load(tmp_path, proto)
    x = build.rand(1, T, E, seed=1)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-4
    return graph


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path: Path, name: str) -> None:
    nodes, weights, wanted = FORMS[name]
    ops = imported(tmp_path, nodes, weights).ops
    kinds = {op.kind for op in ops}
    assert all(op.attrs["scale"] > 0 for op in ops if op.kind == "matmul")
    assert wanted <= kinds
    assert "attention" in wanted or "attention" not in kinds


def test_mixing_heads_moves_nothing(tmp_path: Path) -> None:
    nodes, weights, _ = FORMS["talking heads, Conv"]
    kinds = [op.kind for op in imported(tmp_path, nodes, weights).ops]
    assert kinds.count("matmul") == 4
    assert "gather" not in kinds


EQUATIONS = {
    "bqhd,bkhd->bhqk": ((1, T, HEADS, D), (1, T, HEADS, D)),
    "B Q H D, B K H D -> B H Q K": ((1, T, HEADS, D), (1, T, HEADS, D)),
    "...qd,...kd->...qk": ((1, HEADS, T, D), (1, HEADS, T, D)),
    "ij,jk": ((T, E), (E, T)),
    "zij,zik->zjk": ((1, T, E), (1, T, E)),
    "bij,bij->bij": ((1, T, E), (1, T, E)),
    "bi,bj->bij": ((1, 72), (1, 72)),
    "bij,bj->bi": ((1, T, E), (1, E)),
    "bij,bij->b": ((1, T, E), (1, T, E)),
    "bij,bkl->bik": ((1, T, E), (1, T, E)),
    "bii->bi": ((1, T, T),),
    "bij->bji": ((1, T, E),),
    "bij->bj": ((1, T, E),),
    "bthd,bsgd->bhtgs": ((1, T, HEADS, D), (1, T, HEADS, D)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("constant", [False, True])
def test_einsum(tmp_path: Path, equation: str, constant: bool) -> None:
    """Of two activations, and of one with a constant."""
    shapes = EQUATIONS[equation]
    if constant and len(shapes) == 1:
        return
    nodes, weights, names = [], {"rest": np.asarray([1, T, -1])}, []
    for i, shape in enumerate(shapes):
        if i and constant:
            weights["c"] = RAND(*shape)
            names.append("c")
            continue
        count = int(np.prod(shape)) // T
        weights |= {f"m{i}": RAND(E, count, seed=i), f"shape{i}": np.asarray(shape)}
        nodes += [N("MatMul", f"x m{i}", f"a{i}"), N("Reshape", f"a{i} shape{i}", f"b{i}")]
        names.append(f"b{i}")
    last = [N("Einsum", " ".join(names), "e", equation=equation), N("Tanh", "e", "y")]
    if equation == "bi,bj->bij":  # outer products of T * E numbers each
        weights |= {"m0": RAND(E, 12), "m1": RAND(E, 12)}
        weights |= {"shape0": np.asarray([1, 72]), "shape1": np.asarray([1, 72])}
    imported(tmp_path, [*nodes, *last], weights)


def test_attention_by_einsum_is_attention(tmp_path: Path) -> None:
    nodes = [
        *(n for p in "qkv" for n in heads(p)[:2]),
        N("Einsum", "q2 k2", "s", equation="bqhd,bkhd->bhqk"),
        N("Softmax", "s", "p"),
        N("Einsum", "p v2", "o", equation="bhqk,bkhd->bqhd"),
        N("Reshape", "o joined", "y"),
    ]
    assert [op.kind for op in imported(tmp_path, nodes, {}).ops] == ["linear"] * 3 + ["attention"]


def test_a_constant_in_einsum_is_a_layer(tmp_path: Path) -> None:
    nodes = [N("Einsum", "x w", "y", equation="bte,ef->btf")]
    assert [op.kind for op in imported(tmp_path, nodes, {"w": RAND(E, 5)}).ops] == ["linear"]


def test_three_operands(tmp_path: Path) -> None:
    nodes = [N("Einsum", "x w z", "y", equation="bte,ef,f->bt")]
    imported(tmp_path, nodes, {"w": RAND(E, 5), "z": RAND(5)})
