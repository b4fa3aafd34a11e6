"""Resize and Upsample in all modes, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check, kinds

from mcuformer.errors import UnsupportedModelError
from mcuformer.operators.table import refusal

IMAGE = [1, 3, 6, 8]
COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "half_pixel_symmetric",
)
SIZES = ([1, 3, 12, 16], [1, 3, 4, 11], [1, 3, 1, 3], [1, 3, 6, 13])


def resized(sizes: list[int], **attrs: object) -> tuple[list[object], dict[str, np.ndarray]]:
    node = build.node("Resize", "x _ _ s", "y", **attrs)
    return [node], {"s": np.array(sizes, np.int64)}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_sums_of_cells(tmp_path: Path, mode: str, coordinates: str, sizes: list[int]) -> None:
    how = resized(sizes, mode=mode, coordinate_transformation_mode=coordinates)
    assert kinds(check(tmp_path, *how, IMAGE)).count("resize") == 1


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest_cells_are_moved(tmp_path: Path, coordinates: str, nearest: str) -> None:
    how = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    graph = check(tmp_path, *resized([1, 3, 4, 13], mode="nearest", **how), IMAGE)
    assert "resize" not in kinds(graph)


@pytest.mark.parametrize(
    "attrs",
    [
        {"mode": "cubic", "cubic_coeff_a": -0.5},
        {"mode": "cubic", "exclude_outside": 1},
        {"mode": "linear", "antialias": 1},
        {"mode": "cubic", "antialias": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_kernels(tmp_path: Path, attrs: dict[str, object], sizes: list[int]) -> None:
    check(tmp_path, *resized(sizes, **attrs), IMAGE, opset=18)


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_no_resize_at_all(tmp_path: Path, mode: str) -> None:
    assert "resize" not in kinds(check(tmp_path, *resized(IMAGE, mode=mode), IMAGE))


def test_scales_other_axes_and_one_axis(tmp_path: Path) -> None:
    """[1, H, W, C], [1, C, N], and channels as well."""
    for scales, shape in (
        ([1, 1.5, 2, 1], [1, 4, 6, 3]), ([1, 1, 2.3], [1, 5, 7]),
    ):  # fmt: skip
        node = build.node("Resize", "x _ s", "y", mode="linear")
        check(tmp_path, [node], {"s": np.array(scales, np.float32)}, shape)


def test_behind_and_before_layers(tmp_path: Path) -> None:
    """A factor goes on behind it; channels stay where they are."""
    nodes = [
        build.node("Conv", "x w", "a"),
        build.node("Mul", "a f", "b"),
        build.node("Resize", "b _ s", "c", mode="linear"),
        build.node("Conv", "c v", "y"),
    ]
    weights = {
        "w": build.rand(4, 3, 1, 1), "v": build.rand(2, 4, 1, 1), "f": np.array(-3.0, np.float32),
        "s": np.array([1, 1, 2, 2], np.float32),
    }  # fmt: skip
    assert kinds(check(tmp_path, nodes, weights, IMAGE)).count("gather") == 1  # it leaves as NCHW


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        ({"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}, "whole image.*Slice"),
        ({"mode": "nearest", "coordinate_transformation_mode": "tf_crop_and_resize"}, "whole image.*Slice"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, attrs: dict[str, object], reason: str) -> None:
    weights = {"r": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), "s": np.array([1, 3, 5, 5])}
    node = build.node("Resize", "x r _ s", "y", **attrs)
    with pytest.raises(UnsupportedModelError, match=reason):
        build.load(tmp_path, build.model([node], weights, IMAGE))


def test_weights_that_overflow(tmp_path: Path) -> None:
    graph = build.load(
        tmp_path, build.model(*resized([1, 3, 5, 5], mode="cubic", cubic_coeff_a=-3.0), IMAGE)
    )
    (reason,) = (refusal(graph, op) for op in graph.ops if op.kind == "resize")
    assert reason is not None and "cubic_coeff_a of -0.5" in reason


@pytest.mark.parametrize(("size", "out"), [(3, 5), (7, 1), (7, 8), (13, 4), (13, 9)])
@pytest.mark.parametrize("given", ["sizes", "scales"])
@pytest.mark.parametrize("nearest", ["floor", "round_prefer_ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners"])
def test_float32_decides_which_cell_is_nearest(
    tmp_path: Path, coordinates: str, nearest: str, given: str, size: int, out: int
) -> None:
    """And how many there are: 3 * (5/3) is 5."""
    scales = np.array([1, 1, 1, out / size], np.float32)
    array = np.array([1, 3, 4, out]) if given == "sizes" else scales
    inputs = "x _ _ s" if given == "sizes" else "x _ s"
    how = {"nearest_mode": nearest, "coordinate_transformation_mode": coordinates}
    node = build.node("Resize", inputs, "y", mode="nearest", **how)
    check(tmp_path, [node], {"s": array}, [1, 3, 4, size])


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_the_last_cells_of_aligned_corners_meet(tmp_path: Path, mode: str) -> None:
    """Also where the scale makes a broken cell of the last one: the standard's text and onnxruntime
    count whole cells, onnx's evaluator the broken one."""
    how = {"mode": mode, "coordinate_transformation_mode": "align_corners"}
    scales = {"s": np.array([1, 1, 1.5, 1.7], np.float32)}
    check(tmp_path, [build.node("Resize", "x _ s", "y", **how)], scales, [1, 3, 5, 7])
