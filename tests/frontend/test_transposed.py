"""ConvTranspose and Col2Im in all their forms, against onnxruntime."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check, kinds


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 4), (3, 2)], ids=str)
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1)], ids=str)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_transposed(
    tmp_path: Path, kernel: tuple[int, int], strides: tuple[int, int], group: int
) -> None:
    weights = {
        "w": build.rand(4, 8 // group if group < 4 else 1, *kernel),
        "b": build.rand(8 if group < 4 else 4),
    }
    for pads, more in product(([0, 0, 0, 0], [1, 0, 0, 1]), ([0, 0], [1, 0])):
        if any(m >= s for m, s in zip(more, strides, strict=True)) and any(more):
            continue
        if kernel[0] == 1 and any(pads) and strides == (1, 1):
            continue
        how = {"strides": list(strides), "pads": pads, "output_padding": more, "group": group}
        check(tmp_path, [build.node("ConvTranspose", "x w b", "y", **how)], weights, [1, 4, 5, 6])


@pytest.mark.parametrize(
    "attrs",
    [
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"dilations": [2, 2]}, {"dilations": [2, 1], "strides": [2, 2]},
        {"output_shape": [10, 12], "strides": [2, 2]},
    ],
    ids=str,
)  # fmt: skip
def test_other_transposed(tmp_path: Path, attrs: dict[str, object]) -> None:
    check(
        tmp_path,
        [build.node("ConvTranspose", "x w", "y", **attrs)],
        {"w": build.rand(4, 3, 3, 3)},
        [1, 4, 5, 6],
    )


def test_transposed_along_one_axis(tmp_path: Path) -> None:
    node = build.node("ConvTranspose", "x w b", "y", strides=[2], pads=[1, 0], output_padding=[1])
    check(tmp_path, [node], {"w": build.rand(4, 3, 4), "b": build.rand(3)}, [1, 4, 7])


def test_twice_as_large_is_a_linear_layer(tmp_path: Path) -> None:
    nodes = [
        build.node("Conv", "x v", "a"),
        build.node("ConvTranspose", "a w", "y", strides=[2, 2]),
    ]
    weights = {"v": build.rand(4, 3, 1, 1), "w": build.rand(4, 2, 2, 2)}
    assert set(kinds(check(tmp_path, nodes, weights, [1, 3, 5, 6]))) <= {
        "linear",
        "reshape",
        "gather",
    }


@pytest.mark.parametrize(
    "attrs", [{}, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"dilations": [2, 1]}], ids=str
)
def test_windows_are_added_up(tmp_path: Path, attrs: dict[str, list[int]]) -> None:
    image, block = (7, 6), (3, 2)
    counts = []
    for i in (0, 1):
        extent = (block[i] - 1) * attrs.get("dilations", [1, 1])[i] + 1
        room = image[i] + sum(attrs.get("pads", [0] * 4)[i::2]) - extent
        counts.append(room // attrs.get("strides", [1, 1])[i] + 1)
    weights = {"i": np.array(image), "b": np.array(block)}
    node = build.node("Col2Im", "x i b", "y", **attrs)
    check(tmp_path, [node], weights, [1, 4 * 6, counts[0] * counts[1]], opset=18)
