"""Pools in all their forms, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check, kinds

FORMS = (
    {"kernel_shape": [3, 2], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "dilations": [2, 3]},
    {
        "kernel_shape": [3, 3],
        "dilations": [2, 2],
        "pads": [2, 2, 2, 2],
        "strides": [2, 2],
        "ceil_mode": 1,
    },
)


@pytest.mark.parametrize("attrs", FORMS, ids=str)
@pytest.mark.parametrize("factor", [1.0, -2.0])
def test_largest(tmp_path: Path, factor: float, attrs: dict[str, object]) -> None:
    nodes = [build.node("Mul", "x f", "a"), build.node("MaxPool", "a", "y", **attrs)]
    check(tmp_path, nodes, {"f": np.array(factor, np.float32)}, [1, 3, 9, 8])


@pytest.mark.parametrize("attrs", FORMS, ids=str)
@pytest.mark.parametrize("counted", [0, 1])
def test_average(tmp_path: Path, counted: int, attrs: dict[str, object]) -> None:
    node = build.node("AveragePool", "x", "y", count_include_pad=counted, **attrs)
    check(tmp_path, [node], {}, [1, 3, 9, 8], opset=19)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("shape", [[1, 4, 16], [3, 4, 16]], ids=str)
def test_along_one_axis(tmp_path: Path, shape: list[int], kind: str) -> None:
    """AveragePool of [1, C, N] into tokens, BatchNormalization behind it (NextViT)."""
    weights = {n: np.abs(build.rand(4, seed=i)) + 0.5 for i, n in enumerate(("g", "b", "m", "v"))}
    nodes = [
        build.node("Reshape", "x s", "r"),
        build.node(kind, "r", "a", kernel_shape=[4], strides=[4]),
        build.node("BatchNormalization", "a g b m v", "y"),
    ]
    check(tmp_path, nodes, {**weights, "s": np.array(shape)}, [1, 4 * shape[0], 4, 4])


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"])
def test_a_batch_of_images(tmp_path: Path, kind: str) -> None:
    attrs = {} if "Global" in kind else {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}
    nodes = [build.node("Reshape", "x s", "r"), build.node(kind, "r", "y", **attrs)]
    check(tmp_path, nodes, {"s": np.array([4, 3, 4, 5])}, [1, 12, 4, 5])


def test_padding_that_is_none(tmp_path: Path) -> None:
    """The lowest number around the image, as converters from TensorFlow write it."""
    nodes = [
        build.node("Pad", "x p v", "a"),
        build.node("MaxPool", "a", "y", kernel_shape=[3, 3], strides=[2, 2]),
    ]
    weights = {"p": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "v": np.array(-3.4e38, np.float32)}
    graph = check(tmp_path, nodes, weights, [1, 3, 8, 8])
    assert [op.attrs["pads"] for op in graph.ops if op.kind == "maxpool"] == [(0, 0, 1, 1)]
    assert "concat" not in kinds(graph)
