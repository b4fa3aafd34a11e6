"""LayerNorm, RMSNorm and BatchNorm as exporters write them, each as a small model."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import I, check, kinds


@pytest.mark.parametrize("axis", [-1, 1])
def test_layernorm_axes(tmp_path: Path, axis: int) -> None:
    shape = (6,) if axis == -1 else (4, 6)
    nodes = [build.node("LayerNormalization", "x g b", "y", axis=axis)]
    check(tmp_path, nodes, {"g": build.rand(*shape), "b": build.rand(*shape)}, [1, 4, 6])


def test_layernorm_of_a_scaled_input(tmp_path: Path) -> None:
    for factor in (3.0, -0.5):
        nodes = [build.node("Mul", "x c", "a"), build.node("LayerNormalization", "a g", "y")]
        graph = check(tmp_path, nodes, {"c": I(np.float32(factor)), "g": build.rand(6)}, [1, 4, 6])
        assert kinds(graph) == ["layernorm"]


def test_channels_first_norm(tmp_path: Path) -> None:
    """LayerNorm2d: transposed to the last axis and back, which costs nothing on [H, W, C]."""
    nodes = [
        build.node("Conv", "x w", "c"),
        build.node("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        build.node("LayerNormalization", "t g", "n"),
        build.node("Transpose", "n", "u", perm=[0, 3, 1, 2]),
        build.node("Conv", "u v", "y"),
    ]
    weights = {"w": build.rand(6, 3, 2, 2), "g": build.rand(6), "v": build.rand(5, 6, 2, 2)}
    graph = check(tmp_path, nodes, weights, [1, 3, 6, 6])
    assert [k for k in kinds(graph) if k != "reshape"][:3] == ["conv2d", "layernorm", "conv2d"]


@pytest.mark.parametrize("native", [True, False])
def test_rms_norm(tmp_path: Path, native: bool) -> None:
    weights: dict = {"g": build.rand(6), "two": I(2.0, np.float32), "eps": I(1e-5, np.float32)}
    if native:  # in onnxruntime's own domain, which old exporters of language models write
        nodes = [build.node("SimplifiedLayerNormalization", "x g", "y", axis=-1, epsilon=1e-5)]
    else:
        nodes = [
            build.node("Pow", "x two", "p"), build.node("ReduceMean", "p", "m", axes=[-1]),
            build.node("Add", "m eps", "s"), build.node("Sqrt", "s", "r"),
            build.node("Div", "x r", "d"), build.node("Mul", "d g", "y"),
        ]  # fmt: skip
    graph = check(tmp_path, nodes, weights, [1, 4, 6])
    assert kinds(graph) == ["layernorm"] and graph.ops[0].attrs["centred"] is False


def test_a_batchnorm_goes_into_the_pointwise_convolution_before_it(tmp_path: Path) -> None:
    nodes = [
        build.node("Conv", "x w", "c"),
        build.node("BatchNormalization", "c s b m v", "n"),
        build.node("Relu", "n", "r"),
        build.node("Conv", "r u", "y"),
    ]
    weights = {"w": build.rand(5, 3, 1, 1), "u": build.rand(2, 5, 3, 3)} | {
        k: build.rand(5) ** 2 + 1 for k in "sbmv"
    }
    graph = build.load(tmp_path, build.model(nodes, weights, (1, 3, 6, 6)))
    kinds = {op.kind for op in graph.ops}
    assert {"linear", "conv2d", "unary"} <= kinds
    assert not kinds & {"mul", "add"}
