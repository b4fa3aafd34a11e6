"""Convolutions in all their forms, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check

from mcuformer.errors import UnsupportedModelError


@pytest.mark.parametrize("dilations", [[2, 2], [1, 3], [4, 2]], ids=str)
@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("how", [{"pads": [2, 1, 0, 3]}, {}, {"strides": [2, 1]}], ids=str)
def test_dilated(tmp_path: Path, how: dict[str, object], group: int, dilations: list[int]) -> None:
    node = build.node("Conv", "x w b", "y", dilations=dilations, group=group, **how)
    weights = {"w": build.rand(4, 4 // group, 3, 3), "b": build.rand(4)}
    check(tmp_path, [node], weights, [1, 4, 11, 13])


@pytest.mark.parametrize(
    ("group", "attrs"),
    [
        (1, {}), (1, {"pads": [1, 2], "strides": [2]}), (6, {"dilations": [2], "pads": [2, 2]}),
        (2, {"auto_pad": "SAME_UPPER"}), (1, {"dilations": [3], "strides": [2]}),
    ],
)  # fmt: skip
def test_along_one_axis(tmp_path: Path, group: int, attrs: dict[str, object]) -> None:
    node = build.node("Conv", "x w b", "y", group=group, **attrs)
    check(tmp_path, [node], {"w": build.rand(6, 6 // group, 3), "b": build.rand(6)}, [1, 6, 12])


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize(
    "attrs", [{}, {"strides": [2, 2]}, {"pads": [1, 0, 2, 1]}, {"dilations": [2, 2]}], ids=str
)
@pytest.mark.parametrize("group", [1, 4])
def test_windows_as_a_batch(
    tmp_path: Path, group: int, attrs: dict[str, object], kernel: int
) -> None:
    nodes = [
        build.node("Reshape", "x s", "r"),
        build.node("Transpose", "r", "t", perm=[2, 0, 1, 3]),
        build.node("Conv", "t w b", "y", group=group, **attrs),
    ]
    weights = {
        "s": np.array([4, 5, 3, 6]),
        "w": build.rand(4, 4 // group, kernel, kernel),
        "b": build.rand(4),
    }
    check(tmp_path, nodes, weights, [1, 4, 5, 18])


@pytest.mark.parametrize("value", [1.5, -2.0])
@pytest.mark.parametrize("last", ["Relu", "Conv", "Add", "Pad"])
def test_padding_with_a_value(tmp_path: Path, last: str, value: float) -> None:
    nodes = [build.node("Mul", "x f", "m"), build.node("Pad", "m p v", "a")]
    if last == "Pad":
        nodes += [build.node("Pad", "a p", "b"), build.node("Mul", "b f", "y")]
    else:
        operands = {"Relu": "a", "Conv": "a w", "Add": "a a"}[last]
        nodes.append(build.node(last, operands, "y"))
    weights = {
        "p": np.array([0, 0, 1, 2, 0, 1, 0, 1]), "v": np.array(value, np.float32),
        "f": np.array(-0.5, np.float32), "w": build.rand(2, 4 if last == "Conv" else 3, 2, 2),
    }  # fmt: skip
    check(tmp_path, nodes, weights, [1, 3, 4, 5])


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "MaxPool"])
def test_three_axes_are_refused(tmp_path: Path, kind: str) -> None:
    weights = {"w": build.rand(2, 2, 2, 2, 2), "s": np.array([1, 2, 3, 4, 5])}
    attrs = {"kernel_shape": [2, 2, 2]}
    node = build.node(kind, "r" if kind == "MaxPool" else "r w", "y", **attrs)
    nodes = [build.node("Reshape", "x s", "r"), node]
    with pytest.raises(UnsupportedModelError, match=r"'n_y': .*(2-D|two axes)"):
        build.load(tmp_path, build.model(nodes, weights, [1, 2, 12, 5]))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("attrs", [{"dilations": [2, 1], "pads": [2, 0, 1, 1]}, {"pads": [1] * 4}])
def test_padding_of_ones_inside_of_zeros(
    tmp_path: Path, attrs: dict[str, object], batch: int
) -> None:
    nodes = [
        build.node("Reshape", "x s", "r"),
        build.node("Pad", "r p one", "padded"),
        build.node("Conv", "padded w b", "y", **attrs),
    ]
    weights = {
        "s": np.array([batch, 4 // batch, 5, 6]),
        "p": np.array([0, 0, 1, 0, 0, 0, 2, 1]),
        "one": np.float32(1),
        "w": build.rand(3, 4 // batch, 2, 3),
        "b": build.rand(3),
    }
    check(tmp_path, nodes, weights, [1, 4, 5, 6])
