"""Data movement of any kind, in any order, becomes an index map that moves the same elements."""

from __future__ import annotations

import math
from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import NodeProto

from mcuformer.ir.interp_float import onnx_outputs, run_float


@st.composite
def movements(draw: st.DrawFn) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Up to six random movements of x[1, 4, 6], then a linear layer over the last axis."""
    shape, nodes, weights, at = (1, 4, 6), [], {}, "x"
    for i in range(draw(st.integers(0, 6))):
        kind = draw(
            st.sampled_from(
                ["Transpose", "Reshape", "Slice", "Concat", "Unsqueeze", "Gather", "Tile"]
            )
        )
        out, extra = f"v{i}", f"c{i}"
        rank = len(shape)
        axis = draw(st.integers(0, rank - 1))
        if kind == "Transpose":
            perm = draw(st.permutations(range(rank)))
            nodes.append(build.node(kind, at, out, perm=perm))
            shape = tuple(shape[p] for p in perm)
        elif kind == "Reshape":
            size = math.prod(shape)
            first = draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
            shape = (first, size // first)
            weights[extra] = np.asarray(shape)
            nodes.append(build.node(kind, f"{at} {extra}", out))
        elif kind == "Slice":
            start = draw(st.integers(0, shape[axis] - 1))
            step = draw(st.integers(1, 2))
            values = [start], [shape[axis]], [axis], [step]
            for j, v in enumerate(values):
                weights[f"{extra}_{j}"] = np.asarray(v)
            nodes.append(build.node(kind, " ".join([at, *(f"{extra}_{j}" for j in range(4))]), out))
            shape = (*shape[:axis], len(range(start, shape[axis], step)), *shape[axis + 1 :])
        elif kind == "Concat" and math.prod(shape) < 100:
            nodes.append(build.node(kind, f"{at} {at}", out, axis=axis))
            shape = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        elif kind == "Unsqueeze" and rank < 5:
            weights[extra] = np.asarray([axis])
            nodes.append(build.node(kind, f"{at} {extra}", out))
            shape = (*shape[:axis], 1, *shape[axis:])
        elif kind == "Gather":
            picks = draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=4))
            weights[extra] = np.asarray(picks)
            nodes.append(build.node(kind, f"{at} {extra}", out, axis=axis))
            shape = (*shape[:axis], len(picks), *shape[axis + 1 :])
        elif kind == "Tile" and math.prod(shape) < 100:
            weights[extra] = np.asarray([2 if a == axis else 1 for a in range(rank)])
            nodes.append(build.node(kind, f"{at} {extra}", out))
            shape = tuple(2 * d if a == axis else d for a, d in enumerate(shape))
        else:
            continue
        at = out
    weights["w"] = build.rand(shape[-1], 3)
    nodes.append(build.node("MatMul", f"{at} w", "y"))
    return nodes, weights


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=movements())
def test_random_movements(tmp_path: Path, case: tuple[list[NodeProto], dict]) -> None:
    proto = build.model(*case)
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 4, 6, seed=3)
    (ours,) = onnx_outputs(graph, run_float(graph, x))
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert ours.shape == reference.shape and zoo.relative(ours, reference) < 1e-5


def test_padding_brings_zeros(tmp_path: Path) -> None:
    nodes = [build.node("Pad", "x p", "a"), build.node("MatMul", "a w", "y")]
    weights = {"p": np.asarray([0, 1, 0, 0, 2, 0]), "w": build.rand(6, 3)}
    proto = build.model(nodes, weights)
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 4, 6)
    (ours,) = onnx_outputs(graph, run_float(graph, x))
    np.testing.assert_allclose(ours[0, [0, 5, 6]], 0)
    np.testing.assert_allclose(
        ours, zoo.onnxruntime_outputs(proto.SerializeToString(), x)[0], 1e-5, 1e-6
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_concat_of_different_tensors(tmp_path: Path, axis: int) -> None:
    """Along tokens it joins rows; along channels the rows are joined in pieces."""
    nodes = [
        build.node("MatMul", "x w", "a"),
        build.node("Concat", "a c x", "b", axis=axis),
        build.node("Relu", "b", "y"),
    ]
    proto = build.model(nodes, {"w": build.rand(6, 6), "c": build.rand(1, 4, 6)})
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 4, 6, seed=5)
    (ours,) = onnx_outputs(graph, run_float(graph, x))
    np.testing.assert_allclose(
        ours, zoo.onnxruntime_outputs(proto.SerializeToString(), x)[0], 1e-5, 1e-6
    )
