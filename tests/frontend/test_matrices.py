"""Gemm with its constant on either side, or with none, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from test_import_layers import check, kinds

from mcuformer.errors import UnsupportedModelError

ROWS = [build.node("MatMul", "x w", "a"), build.node("Squeeze", "a first", "q")]
WEIGHTS = {"w": build.rand(6, 4), "first": np.array([0])}


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("c", ["", "row", "column"])
def test_a_constant_first_factor(tmp_path: Path, trans_a: int, trans_b: int, c: str) -> None:
    inner, columns = (4, 5) if trans_b else (5, 4)
    weights = {**WEIGHTS, "k": build.rand(*((inner, 3) if trans_a else (3, inner)), seed=2),
               "row": build.rand(columns, seed=3), "column": build.rand(3, 1, seed=4)}  # fmt: skip
    last = build.node(
        "Gemm", f"k q {c}".strip(), "y", transA=trans_a, transB=trans_b, alpha=0.5, beta=2.0
    )
    graph = check(tmp_path, [*ROWS, last], weights, [1, 5, 6])
    assert "matmul" not in kinds(graph)


def test_of_two_activations(tmp_path: Path) -> None:
    last = build.node("Gemm", "q q", "y", transB=1)
    assert "matmul" in kinds(check(tmp_path, [*ROWS, last], WEIGHTS, [1, 5, 6]))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -1, 2])
def test_a_triangle_of_activations(tmp_path: Path, upper: int, k: int | None) -> None:
    weights = {**WEIGHTS, "k": np.asarray(0 if k is None else k)}
    last = build.node("Trilu", "a" if k is None else "a k", "y", upper=upper)
    graph = check(tmp_path, [ROWS[0], last], weights, [1, 5, 6])
    assert kinds(graph) == ["linear", "mul"]


def test_above_the_least_of_all_diagonals_is_everything(tmp_path: Path) -> None:
    weights = {**WEIGHTS, "k": np.asarray(-(2**63))}
    graph = check(tmp_path, [ROWS[0], build.node("Trilu", "a k", "y")], weights, [1, 5, 6])
    assert kinds(graph) == ["linear"]


def test_two_diagonals_are_none(tmp_path: Path) -> None:
    weights = {**WEIGHTS, "k": np.array([0, 1])}
    with pytest.raises(UnsupportedModelError, match="the number of one diagonal"):
        build.load(
            tmp_path, build.model([ROWS[0], build.node("Trilu", "a k", "y")], weights, [1, 5, 6])
        )
