"""Max and Min of activations and constants: exact, so that equal numbers stay equal."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from onnx import NodeProto
from test_import_layers import check

from mcuformer.ir.interp_float import eval_steps

N = build.node
WEIGHTS = {
    "rows": build.rand(4, 1), "table": build.rand(4, 6), "each": build.rand(6), "two": np.float32(-0.25),
    "odd": np.float32(0.3), "three": build.rand(3, 4, 6), "same": np.full((4, 6), 0.5, np.float32),
}  # fmt: skip


def kinds(tmp_path: Path, *nodes: NodeProto) -> list[str]:
    graph = check(tmp_path, list(nodes), WEIGHTS, [1, 4, 6])
    return [op.kind for op in graph.ops if op.kind not in ("reshape", "slice", "gather")]


@pytest.mark.parametrize("kind", ["Max", "Min"])
@pytest.mark.parametrize(
    "operands", ["x each", "table x", "rows x", "x three", "x s", "m x", "s m each x"]
)
def test_of_two(tmp_path: Path, kind: str, operands: str) -> None:
    stem = [N("Sigmoid", "x", "s"), N("ReduceMean", "x", "m", axes=[1])]
    found = kinds(tmp_path, *stem, N(kind, operands, "y"))
    assert found.count("max") == len(operands.split()) - 1


@pytest.mark.parametrize("factor", ["two", "odd"])
def test_of_scaled_ones(tmp_path: Path, factor: str) -> None:
    """A negative factor turns the order, another than a power of two rounds."""
    nodes = [N("Mul", f"x {factor}", "a"), N("Sigmoid", "x", "s"), N("Mul", f"s {factor}", "b")]
    assert "max" in kinds(tmp_path, *nodes, N("Max", "a b", "y"))
    assert "max" in kinds(tmp_path, *nodes, N("Min", "a table", "y"))


def test_of_one_value_it_is_none(tmp_path: Path) -> None:
    tanh = N("Tanh", "x", "t")
    assert kinds(tmp_path, tanh, N("Max", "t", "y")) == ["unary"]
    assert kinds(tmp_path, tanh, N("Max", "t t t", "y")) == ["unary"]
    assert kinds(tmp_path, tanh, N("Min", "t t", "y")) == ["unary"]
    assert kinds(tmp_path, N("Max", "x same", "y")) == ["unary"]


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_a_tie_stays_a_tie(tmp_path: Path, kind: str) -> None:
    """The same x beside constants that differ and never count: where w + (x - w) would round."""
    far = np.full((3, 6), -9.0 if kind == "Max" else 9.0) + build.rand(3, 6) / 7
    weights = {"rows": np.array([0, 1, 0]), "far": far.astype(np.float32)}
    nodes = [
        N("Gather", "x rows", "t", axis=1), N(kind, "t far", "m"), N("ArgMax", "m", "y", axis=1),
    ]  # fmt: skip
    graph = build.load(tmp_path, build.model(nodes, weights, (1, 2, 6)))
    samples = build.rand(50, 2, 6)
    larger = next(op.outputs[0] for op in graph.ops if op.kind == "max")
    for _, env in eval_steps(graph, (samples,)):
        if larger in env:
            m = env[larger]
    assert np.array_equal(m[:, 0], m[:, 2])
    assert np.array_equal(np.abs(m[:, :2]), np.abs(samples))
    assert set(np.unique(env[graph.outputs[0]])) == {0, 1}


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_an_infinite_bound_bounds_nothing(tmp_path: Path, kind: str) -> None:
    bound = np.array([0.1, np.inf, -0.2, np.inf, 0.3, -0.4], np.float32)
    bound[np.isinf(bound)] *= -1 if kind == "Max" else 1
    graph = check(tmp_path, [N(kind, "x bound", "y")], {"bound": bound}, [1, 4, 6])
    assert all(np.isfinite(v.data).all() for v in graph.values.values() if v.data is not None)


@pytest.mark.parametrize("factor", [2.0**-120, 2.0**60])
def test_a_factor_beyond_all_grids_is_multiplied_in(tmp_path: Path, factor: float) -> None:
    nodes = [N("Mul", "x factor", "a"), N("Max", "a each", "y")]
    weights = {"factor": np.float32(factor), "each": WEIGHTS["each"]}
    graph = check(tmp_path, nodes, weights, [1, 4, 6])
    assert [op.kind for op in graph.ops] == ["mul", "max"]
