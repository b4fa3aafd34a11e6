"""Operators and exporters' habits, each as a small model against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import NodeProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

I = np.asarray  # noqa: E741


def check(
    tmp_path: Path, nodes: list[NodeProto], weights: dict, x: list[int], opset: int = 17
) -> Graph:
    """Import, run, compare; the canonical graph for a look at its structure."""
    proto = build.model(nodes, weights, x=x, opset=opset)
    graph = build.load(tmp_path, proto)
    data = build.rand(*x, seed=9)
    (ours,) = onnx_outputs(graph, run_float(graph, data))
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), data)
    assert ours.shape == reference.shape
    assert zoo.relative(ours, reference) < 2e-5
    return graph


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def test_gemm_forms(tmp_path: Path) -> None:
    for attrs in ({}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0, "transB": 1}):
        w = build.rand(6, 5).T if attrs.get("transB") else build.rand(6, 5)
        nodes = [build.node("Gemm", "x w b", "y", **attrs)]
        assert kinds(check(tmp_path, nodes, {"w": w, "b": build.rand(5)}, [1, 6])) == ["linear"]


def test_gemm_without_bias_and_scalar_bias(tmp_path: Path) -> None:
    check(tmp_path, [build.node("Gemm", "x w", "y")], {"w": build.rand(6, 5)}, [1, 6])
    check(
        tmp_path,
        [build.node("Gemm", "x w b", "y")],
        {"w": build.rand(6, 5), "b": build.rand(1)},
        [1, 6],
    )


def test_constant_on_the_left(tmp_path: Path) -> None:
    """W x mixes tokens: a linear layer of the transposed input."""
    check(tmp_path, [build.node("MatMul", "w x", "y")], {"w": build.rand(7, 4)}, [1, 4, 6])


def test_linear_bias_and_scales_fold(tmp_path: Path) -> None:
    nodes = [
        build.node("Div", "x c", "s"),
        build.node("MatMul", "s w", "a"),
        build.node("Add", "b a", "d"),
        build.node("Mul", "d g", "e"),
        build.node("Sub", "e b", "y"),
    ]
    weights = {"c": I(np.float32(3)), "w": build.rand(6, 5), "b": build.rand(5), "g": build.rand(5)}
    assert kinds(check(tmp_path, nodes, weights, [1, 4, 6])) == ["linear"]


@pytest.mark.parametrize("group", [1, 2, 6])
def test_convolution_batchnorm_relu(tmp_path: Path, group: int) -> None:
    nodes = [
        build.node("Conv", "x w", "c", strides=[2, 1], pads=[1, 0, 2, 1], group=group),
        build.node("BatchNormalization", "c g b m v", "n", epsilon=1e-3),
        build.node("Relu", "n", "y"),
    ]
    weights = {
        "w": build.rand(6, 6 // group, 3, 2),
        "g": build.rand(6),
        "b": build.rand(6),
        "m": build.rand(6),
        "v": abs(build.rand(6)) + 0.5,
    }
    graph = check(tmp_path, nodes, weights, [1, 6, 7, 8])
    assert kinds(graph)[:2] == ["conv2d", "unary"]


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(tmp_path: Path, auto: str) -> None:
    nodes = [build.node("Conv", "x w", "y", auto_pad=auto, strides=[2, 2], kernel_shape=[3, 3])]
    check(tmp_path, nodes, {"w": build.rand(4, 3, 3, 3)}, [1, 3, 8, 7])


def test_pad_goes_into_the_convolution(tmp_path: Path) -> None:
    nodes = [build.node("Pad", "x p", "a"), build.node("Conv", "a w", "y")]
    weights = {"p": I([0, 0, 1, 2, 0, 0, 3, 0]), "w": build.rand(4, 3, 3, 3)}
    graph = check(tmp_path, nodes, weights, [1, 3, 6, 6])
    assert kinds(graph)[0] == "conv2d" and graph.ops[0].attrs["pads"] == (1, 2, 3, 0)


def test_pointwise_convolution_is_linear(tmp_path: Path) -> None:
    graph = check(
        tmp_path, [build.node("Conv", "x w", "y")], {"w": build.rand(4, 3, 1, 1)}, [1, 3, 5, 5]
    )
    assert "linear" in kinds(graph) and "conv2d" not in kinds(graph)


def test_pools(tmp_path: Path) -> None:
    for kind in ("MaxPool", "AveragePool"):
        nodes = [build.node(kind, "x", "y", kernel_shape=[2, 3], strides=[2, 1])]
        check(tmp_path, nodes, {}, [1, 3, 6, 7])
    nodes = [
        build.node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    ]
    check(tmp_path, nodes, {}, [1, 3, 6, 7])
    assert "mean" in kinds(
        check(tmp_path, [build.node("GlobalAveragePool", "x", "y")], {}, [1, 3, 6, 7])
    )


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 1, 2, 0]])
def test_padded_average_pools(tmp_path: Path, pads: list[int], counted: int, ceil: int) -> None:
    how = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads}
    node = build.node("AveragePool", "x", "y", count_include_pad=counted, ceil_mode=ceil, **how)
    graph = check(tmp_path, [node], {}, [1, 3, 6, 8])
    assert ("conv2d" if counted else "avgpool") in kinds(graph)


@pytest.mark.parametrize(("axes", "keep"), [([1], 1), ([1], 0), ([2, 1], 0), ([-1], 1)])
def test_means(tmp_path: Path, axes: list[int], keep: int) -> None:
    nodes = [build.node("ReduceMean", "x", "y", axes=axes, keepdims=keep)]
    check(tmp_path, nodes, {}, [1, 4, 6])


@pytest.mark.parametrize("first", ["Sub x c", "Sub c x", "Sum c c x", "Gemm x w c", "Div x c"])
def test_constants_of_no_axis(tmp_path: Path, first: str) -> None:
    kind, _, inputs = first.partition(" ")
    nodes = [build.node(kind, inputs, "s"), build.node("MatMul", "s w", "y")]
    check(tmp_path, nodes, {"c": np.array(0.5, np.float32), "w": build.rand(6, 6)}, [1, 6])


@pytest.mark.parametrize("following", ["Add z c", "Add c z", "Add z x", "Mul z x"])
def test_a_factor_of_zero(tmp_path: Path, following: str) -> None:
    kind, _, inputs = following.partition(" ")
    nodes = [
        build.node("Mul", "x zero", "z"),
        build.node(kind, inputs, "a"),
        build.node("Add", "a x", "y"),
    ]
    weights = {"c": build.rand(6), "zero": np.array(0.0, np.float32)}
    check(tmp_path, nodes, weights, [1, 4, 6])


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_softmax_over_any_axis(tmp_path: Path, kind: str, axis: int) -> None:
    check(tmp_path, [build.node(kind, "x", "y", axis=axis)], {}, [1, 4, 6])
    check(tmp_path, [build.node(kind, "x", "y", axis=axis)], {}, [1, 3, 4, 6])


@pytest.mark.parametrize("axes", [[1], [2], [1, 2]])
def test_the_least(tmp_path: Path, axes: list[int]) -> None:
    check(tmp_path, [build.node("ReduceMin", "x", "y", axes=axes)], {}, [1, 4, 6])


def test_sum_is_a_scaled_mean(tmp_path: Path) -> None:
    nodes = [build.node("ReduceSum", "x a", "s"), build.node("MatMul", "s w", "y")]
    graph = check(tmp_path, nodes, {"a": I([1]), "w": build.rand(6, 3)}, [1, 4, 6])
    assert kinds(graph) == ["mean", "linear"]


def test_plain_softmax(tmp_path: Path) -> None:
    for axis in (-1, 1):
        assert "softmax" in kinds(
            check(tmp_path, [build.node("Softmax", "x", "y", axis=axis)], {}, [1, 4, 6])
        )


def test_dropout_identity_cast_vanish(tmp_path: Path) -> None:
    nodes = [
        build.node("Identity", "x", "a"),
        build.node("Dropout", "a", "b c"),
        build.node("Cast", "b", "d", to=1),
        build.node("Relu", "d", "y"),
    ]
    assert kinds(check(tmp_path, nodes, {}, [1, 4, 6])) == ["unary"]


def test_upsampling_is_movement(tmp_path: Path) -> None:
    nodes = [
        build.node(
            "Resize",
            "x _ s",
            "a",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        build.node("Conv", "a w", "y"),
    ]
    weights = {"s": I([1, 1, 2, 2], np.float32), "w": build.rand(4, 3, 2, 2)}
    graph = check(tmp_path, nodes, weights, [1, 3, 4, 4])
    assert set(kinds(graph)) <= {"reshape", "gather", "conv2d"}


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (build.node("Pow", "z x", "y"), "power"),
        (build.node("Pow", "x z", "y"), "one constant, or a constant base above 0.*Mul"),
        (build.node("Greater", "x c", "y"), "depends on the model's input"),
        (build.node("Celu", "x", "y", alpha=0.0), "Celu's alpha is above 0"),
        (build.node("Celu", "x", "y", alpha=-1.0), "Celu's alpha is above 0"),
        (build.node("Clip", "x f c", "y"), "lower one not above the upper"),
    ],
)
def test_reasons(tmp_path: Path, node: NodeProto, reason: str) -> None:
    weights = {
        "c": I(np.float32(3)),
        "p": I([0, 1, 0, 0, 0, 0]),
        "f": I(np.float32(7)),
        "h": I(np.float32(0.5)),
        "m": I([[True], [False], [True], [False]]),
        "z": build.rand(1, 4, 6),
    }
    with pytest.raises(UnsupportedModelError, match=reason):
        build.load(tmp_path, build.model([node], weights))


def test_channels_join_without_moving(tmp_path: Path) -> None:
    nodes = [
        build.node("Conv", "x w", "a"),
        build.node("Conv", "x v", "b"),
        build.node("Concat", "a b", "c", axis=1),
        build.node("Conv", "c u", "y"),
    ]
    weights = {
        "w": build.rand(4, 3, 1, 1),
        "v": build.rand(2, 3, 1, 1),
        "u": build.rand(5, 6, 3, 3),
    }
    graph = check(tmp_path, nodes, weights, [1, 3, 5, 6])
    assert [op.attrs["axis"] for op in graph.ops if op.kind == "concat"] == [1]


@pytest.mark.parametrize("low, high", [(-1.0, np.inf), (-np.inf, 0.5), (-np.inf, np.inf)])
def test_infinite_bounds_bound_nothing(tmp_path: Path, low: float, high: float) -> None:
    nodes = [build.node("MatMul", "x w", "h"), build.node("Clip", "h low high", "y")]
    weights = {"w": build.rand(6, 5), "low": np.float32(low), "high": np.float32(high)}
    check(tmp_path, nodes, weights, [1, 3, 6])


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    nodes = [build.node("MatMul", "x w", "h"), build.node("Max", "h w", "y")]
    weights = {"w": np.full((6, 6), np.inf, np.float32)}
    with pytest.raises(UnsupportedModelError, match="NaN or infinite"):
        check(tmp_path, nodes, weights, [1, 6, 6])


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
def test_a_small_power_is_a_product(tmp_path: Path, exponent: int) -> None:
    graph = check(
        tmp_path, [build.node("Pow", "x p", "h"), build.node("MatMul", "h w", "y")],
        {"p": I(np.float32(exponent)), "w": build.rand(6, 5)}, [1, 3, 6],
    )  # fmt: skip
    assert kinds(graph).count("mul") == (0, 1, 2, 2)[exponent - 1]


@pytest.mark.parametrize(
    "last", [build.node("Identity", "i", "high"), build.node("Cast", "i", "high", to=1)]
)
def test_an_infinite_bound_may_be_handed_on(tmp_path: Path, last: NodeProto) -> None:
    """As is one for every channel, and one that another node reads as well."""
    nodes = [
        last,
        build.node("MatMul", "x w", "h"),
        build.node("Clip", "h low high", "a"),
        build.node("Min", "a i", "b"),
        build.node("Max", "b each", "y"),
    ]
    weights = {"w": build.rand(6, 5), "low": np.float32(-1), "i": np.float32(np.inf)}
    graph = check(tmp_path, nodes, {**weights, "each": np.full(5, -np.inf, np.float32)}, [1, 3, 6])
    assert kinds(graph) == ["linear", "unary"]
