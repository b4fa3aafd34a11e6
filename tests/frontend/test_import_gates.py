"""Products of two activations of which one may be repeated."""

from __future__ import annotations

from pathlib import Path

import build
import zoo
from test_import_layers import check, kinds

from mcuformer.ir.interp_float import onnx_outputs, run_float


def test_gate_of_two_halves(tmp_path: Path) -> None:
    """SwiGLU: the two halves become layers of their own."""
    nodes = [
        build.node("MatMul", "x w", "a"),
        build.node("Split", "a", "u v", axis=-1, num_outputs=2),
        build.node("Sigmoid", "u", "s"),
        build.node("Mul", "u s", "g"),
        build.node("Mul", "g v", "y"),
    ]
    proto = build.model(nodes, {"w": build.rand(6, 8)}, opset=18)
    graph = build.load(tmp_path, proto)
    assert sorted(kinds(graph)) == ["linear", "linear", "mul", "unary"]
    x = build.rand(1, 4, 6)
    want = zoo.onnxruntime_outputs(proto.SerializeToString(), x)[0]
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], want) < 1e-5


def test_gates_are_repeated_not_copied(tmp_path: Path) -> None:
    """[1, 1, H, W] and [1, C, 1, 1] against an image, and against each other."""
    nodes = [
        build.node("Conv", "x w", "c"),
        build.node("Conv", "x g", "gate"),
        build.node("GlobalAveragePool", "c", "mean"),
        build.node("Mul", "gate mean", "outer"),
        build.node("Mul", "c gate", "a"),
        build.node("Mul", "a mean", "b"),
        build.node("Add", "b outer", "y"),
    ]
    weights = {"w": build.rand(4, 3, 1, 1), "g": build.rand(1, 3, 1, 1)}
    graph = check(tmp_path, nodes, weights, [1, 3, 5, 6])
    shapes = [{graph.type(str(i)).shape for i in op.inputs} for op in graph.ops if op.kind == "mul"]
    assert {(30, 1), (1, 4)} in shapes and {(30, 4), (30, 1)} in shapes
