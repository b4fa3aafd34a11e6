"""Concat along every axis of images, and max-pools in all their spellings, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check, kinds

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph

IMAGE = [1, 3, 6, 7]
WEIGHTS = {"w": build.rand(4, 3, 3, 3), "v": build.rand(3, 3, 1, 1), "c": build.rand(1, 2, 6, 7)}


def conv(x: str, w: str, y: str) -> object:
    pads = [1, 1, 1, 1] if w == "w" else [0, 0, 0, 0]
    return build.node("Conv", f"{x} {w}", y, pads=pads)


def joins(graph: Graph) -> list[int]:
    return [op.attrs["axis"] for op in graph.ops if op.kind == "concat"]


def test_channels_of_anything(tmp_path: Path) -> None:
    """Convolutions, the input, a constant, a negated value lie as they are joined."""
    nodes = [
        conv("x", "w", "a"),
        build.node("Neg", "a", "b"),
        build.node("Concat", "a c x b", "y", axis=1),
    ]
    graph = check(tmp_path, nodes, WEIGHTS, IMAGE)
    assert joins(graph) == [1]
    assert kinds(graph).count("gather") == 1  # the result leaves as NCHW


def test_an_enlarged_part(tmp_path: Path) -> None:
    """Rows of pixels are repeated, not single elements."""
    sizes = {**WEIGHTS, "s": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        conv("x", "w", "a"),
        build.node("MaxPool", "a", "p", kernel_shape=[2, 2], strides=[2, 2]),
        build.node("Resize", "p _ s", "u", mode="nearest", nearest_mode="floor",
                   coordinate_transformation_mode="asymmetric"),
        build.node("Concat", "u a", "j", axis=1),
        build.node("Conv", "j k", "y"),
    ]  # fmt: skip
    graph = check(tmp_path, nodes, {**sizes, "k": build.rand(2, 8, 3, 3)}, [1, 3, 6, 8])
    gathers = [graph.type(op.outputs[0]).shape for op in graph.ops if op.kind == "gather"]
    assert joins(graph) == [1] and (48, 4) in gathers


@pytest.mark.parametrize("axis", [2, 3])
def test_lines_and_columns(tmp_path: Path, axis: int) -> None:
    nodes = [
        conv("x", "v", "a"),
        build.node("Concat", "a x", "j", axis=axis),
        build.node("Conv", "j w", "y"),
    ]
    graph = check(tmp_path, nodes, WEIGHTS, IMAGE)
    assert joins(graph) == [axis - 2] and "gather" not in kinds(graph)[:-2]


def test_one_channel_each(tmp_path: Path) -> None:
    weights = {"w": build.rand(1, 1, 3, 3), "k": build.rand(2, 2, 3, 3)}
    nodes = [
        conv("x", "w", "a"),
        build.node("Concat", "a x", "j", axis=1),
        build.node("Conv", "j k", "y"),
    ]
    assert joins(check(tmp_path, nodes, weights, [1, 1, 5, 6])) == [1]


def test_the_same_value_twice(tmp_path: Path) -> None:
    nodes = [
        conv("x", "w", "a"),
        build.node("Concat", "a a", "j", axis=1),
        build.node("Conv", "j k", "y"),
    ]
    check(tmp_path, nodes, {**WEIGHTS, "k": build.rand(2, 8, 3, 3)}, IMAGE)


POOLS = {
    "uneven pads": ([1, 3, 6, 7], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]}),
    "ceil": ([1, 3, 6, 7], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "ceil and pads": (
        [1, 2, 7, 8], {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "ceil drops a window of padding": (
        [1, 2, 4, 4], {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [0, 1, 1, 1], "ceil_mode": 1},
    ),
    "same upper": ([1, 3, 7, 6], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ([1, 3, 7, 6], {"kernel_shape": [2, 4], "strides": [2, 1], "auto_pad": "SAME_LOWER"}),
    "valid": ([1, 3, 7, 6], {"kernel_shape": [3, 3], "auto_pad": "VALID"}),
    "storage order": ([1, 3, 6, 6], {"kernel_shape": [2, 2], "storage_order": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", POOLS)
def test_max_pools(tmp_path: Path, name: str) -> None:
    shape, attrs = POOLS[name]
    graph = check(tmp_path, [build.node("MaxPool", "x", "y", **attrs)], {}, shape)
    assert "maxpool" in kinds(graph)


def test_pools_of_negated_and_of_padded_values(tmp_path: Path) -> None:
    nodes = [
        build.node("Neg", "x", "n"),
        build.node("Pad", "n p", "q"),
        build.node("MaxPool", "q", "y", kernel_shape=[3, 3], strides=[2, 2]),
    ]
    check(tmp_path, nodes, {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, IMAGE)


@pytest.mark.parametrize(
    "node",
    [
        build.node("GlobalMaxPool", "x", "y"),
        build.node("ReduceMax", "x", "y", axes=[2, 3], keepdims=0),
        build.node("ReduceMax", "x", "y", axes=[1], keepdims=1),
    ],
)
def test_the_largest_of_all(tmp_path: Path, node: object) -> None:
    assert "maxpool" in kinds(check(tmp_path, [node], {}, IMAGE))


@pytest.mark.parametrize(
    ("attrs", "why"),
    [
        ({"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, "windows of padding alone"),
    ],
)
def test_pools_that_are_refused(tmp_path: Path, attrs: dict, why: str) -> None:
    proto = build.model([build.node("MaxPool", "x", "y", **attrs)], {}, x=IMAGE)
    with pytest.raises(UnsupportedModelError, match=why):
        build.load(tmp_path, proto)


def test_indices_are_refused(tmp_path: Path) -> None:
    nodes = [
        build.node("MaxPool", "x", "m i", kernel_shape=[2, 2]),
        build.node("Cast", "i", "f", to=1),
        build.node("Add", "m f", "y"),
    ]
    with pytest.raises(UnsupportedModelError, match="indices of the largest"):
        build.load(tmp_path, build.model(nodes, {}, x=IMAGE))


PLACES = np.stack(np.meshgrid([0], [0, 1, 2], [1, 4], indexing="ij"), -1)  # columns 1 and 4


@pytest.mark.parametrize("all_of_it", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_elements_in_the_places_of_others(tmp_path: Path, constant: bool, all_of_it: bool) -> None:
    """Of a constant or of an activation; nothing is left of it where all places are taken."""
    every = np.stack(np.meshgrid([0], range(3), range(5), indexing="ij"), -1)
    at = every if all_of_it else PLACES
    weights = {
        "w": build.rand(6, 5),
        "v": build.rand(6, at.shape[2]),
        "at": at,
        "c": build.rand(1, 3, 5),
    }
    nodes = [
        build.node("MatMul", "x w", "a"),
        build.node("MatMul", "x v", "b"),
        build.node("ScatterND", f"{'c' if constant else 'a'} at b", "y"),
    ]
    graph = check(tmp_path, nodes, weights, [1, 3, 6])
    assert ("concat" in kinds(graph)) != all_of_it


def test_elements_that_are_added_are_refused(tmp_path: Path) -> None:
    nodes = [
        build.node("MatMul", "x w", "a"),
        build.node("ScatterND", "a at c", "y", reduction="add"),
    ]
    weights = {"w": build.rand(6, 5), "at": PLACES, "c": build.rand(1, 3, 2)}
    with pytest.raises(UnsupportedModelError, match="that are added"):
        check(tmp_path, nodes, weights, [1, 3, 6])


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("news", ["constants", "elements"])
def test_elements_take_constant_places(tmp_path: Path, axis: int, news: str) -> None:
    rng = np.random.default_rng(axis)
    shape = (1, 3, 6) if axis == 1 else (1, 5, 2)
    places = np.argsort(rng.random((1, 5, 6)), axis=axis).take(range(shape[axis]), axis=axis)
    weights = {"w": build.rand(6, 6), "i": places, "u": build.rand(*shape),
               "first": np.array([0]), "last": np.array([shape[axis]]), "axes": np.array([axis])}  # fmt: skip
    parts = [
        build.node("MatMul", "x w", "a"),
        build.node("Slice", "a first last axes", "part"),
        build.node("Relu", "a", "r"),
    ]
    read = "u" if news == "constants" else "part"
    last = build.node("ScatterElements", f"r i {read}", "y", axis=axis)
    check(tmp_path, [*parts, last], weights, [1, 5, 6])


@pytest.mark.parametrize("kind", ["ScatterElements", "ScatterND"])
def test_no_elements_take_no_places(tmp_path: Path, kind: str) -> None:
    shape = (1, 0, 6) if kind == "ScatterElements" else (0, 6)
    places = np.zeros(shape if kind == "ScatterElements" else (0, 2), np.int64)
    attrs = {"axis": 1} if kind == "ScatterElements" else {}
    weights = {"w": build.rand(6, 6), "i": places, "u": np.zeros(shape, np.float32)}
    nodes = [build.node("MatMul", "x w", "a"), build.node(kind, "a i u", "y", **attrs)]
    assert kinds(check(tmp_path, nodes, weights, [1, 5, 6])) == ["linear"]
