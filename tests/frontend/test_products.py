"""Products of two activations that are no fused attention: the same numbers, by which operators."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import NodeProto
from util_attention_forms import FORMS, HEADS, KEYS, WEIGHTS, D, E, T, heads

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

N, RAND = build.node, build.rand


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


def test_channels_of_many_tokens_are_multiplied_where_they_lie(tmp_path: Path) -> None:
    """As attention, every number of q and k would be moved by itself."""
    rows, width = 3000, 24
    weights = {f"w{p}": RAND(4, width, seed=ord(p)) / 40 for p in "qkv"}
    weights |= {"split": np.asarray([1, rows, 2, 12]), "joined": np.asarray([1, rows, width])}
    nodes = []
    for p, perm in (("q", [0, 2, 3, 1]), ("k", [0, 2, 1, 3]), ("v", [0, 2, 3, 1])):
        nodes += [N("MatMul", f"x w{p}", f"{p}1"), N("Reshape", f"{p}1 split", f"{p}2"),
                  N("Transpose", f"{p}2", p, perm=perm)]  # fmt: skip
    nodes += [N("MatMul", "q k", "s"), N("Softmax", "s", "p"), N("MatMul", "p v", "o"),
              N("Transpose", "o", "o1", perm=[0, 3, 1, 2]), N("Reshape", "o1 joined", "y")]  # fmt: skip
    graph = build.load(tmp_path, build.model(nodes, weights, x=[1, rows, 4]))
    kinds = [op.kind for op in graph.ops]
    assert kinds.count("matmul") == 2
    assert "gather" not in kinds


NEGATIVE = [*heads("q"), *KEYS, N("Neg", "q", "q9"), N("MatMul", "q9 k", "s")]
READERS = {
    "a linear layer": [N("MatMul", "s w66", "y")],
    "one over the heads": [N("Conv", "s w3", "y")],
    "one over rows": [N("Transpose", "s", "t", perm=[0, 2, 3, 1]), N("MatMul", "t w33", "y")],
    "a sum": [N("Add", "s q9", "y")],
    "a product": [N("Mul", "s q9", "y")],
    "a mean": [N("ReduceMean", "s", "y", axes=[2])],
    "a pool": [N("AveragePool", "s", "y", kernel_shape=[2, 2])],
    "its largest": [N("ReduceMax", "s", "y", axes=[3])],
    "a norm": [N("LayerNormalization", "s w6", "y")],
    "padding": [N("Pad", "s pads two", "p"), N("MatMul", "p w76", "y")],
    "a quotient": [N("Add", "s many", "p"), N("Reciprocal", "p", "y")],
    "Softmax over rows": [N("Softmax", "s", "y", axis=1)],
}


@pytest.mark.parametrize("scale", [-0.5, 0.0])
def test_any_scale_of_attention(tmp_path: Path, scale: float) -> None:
    nodes = [*heads("q"), *KEYS, *heads("v"), N("MatMul", "q k", "s"), N("Mul", "s scale", "t"),
             N("Softmax", "t", "p"), N("MatMul", "p v", "o"), N("Tanh", "o", "y")]  # fmt: skip
    ops = imported(tmp_path, nodes, {"scale": np.float32(scale)}).ops
    assert [op.attrs["scale"] > 0 for op in ops if op.kind == "attention"] == [True]


@pytest.mark.parametrize("reader", READERS)
def test_scale_and_padding_of_scores_outlive_them(tmp_path: Path, reader: str) -> None:
    """Readers noted them before the product was emitted."""
    weights = {
        "w66": RAND(6, 6), "w33": RAND(3, 3), "w3": RAND(3, 3, 1, 1), "w6": RAND(6), "w76": RAND(7, 6),
        "pads": np.asarray([0, 0, 0, 0, 0, 0, 0, 1]), "two": np.float32(2), "many": np.float32(60),
    }  # fmt: skip
    nodes = READERS[reader]
    if "q9" in " ".join(" ".join(n.input) for n in nodes):
        nodes = [N("ReduceMean", "q9", "r", axes=[3]), N(nodes[0].op_type, "s r", "y")]
    imported(tmp_path, [*NEGATIVE, *nodes], weights)
