"""Attentions whose scores leave the range that int16 steps hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.proof.scores import LARGEST_SCORE, behind, saturations

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from tiny_vit import tiny_data, tiny_vit


def diagnostics(work: Path, scale: float, activations: str) -> list[dict[str, Any]]:
    """Of the tiny transformer with scores times `scale`."""
    path, data = tiny_vit(work / "tiny.onnx"), tiny_data(work / "data.npz")
    model = onnx.load(path)
    at = next(i for i, t in enumerate(model.graph.initializer) if t.name == "scale")
    model.graph.initializer[at].CopyFrom(numpy_helper.from_array(np.float32(scale), "scale"))
    onnx.save(model, path)
    asked = CompileOptions(
        model=path, board="stm32f746", calibration=data, activations=activations, accept_sqnr=-100.0
    )  # type: ignore[arg-type]
    found: list[dict[str, Any]] = compile_model(asked, work / "out", lambda *_: None).report[
        "diagnostics"
    ]
    return found


@pytest.mark.parametrize("activations", ["8", "16"])
@pytest.mark.parametrize(("scale", "wanted"), [(0.5, 0), (1000.0, 1)])
def test_said_where_scores_saturate(
    tmp_path: Path, scale: float, wanted: int, activations: str
) -> None:
    found = diagnostics(tmp_path, scale, activations)
    said = [d for d in found if d["code"] == "scores-saturate"]
    assert len(said) == wanted
    assert all("attention" in d["where"] and "176" in d["message"] for d in said), said
    assert not [d for d in found if d["code"] == "layer-below-grids"]


def attention(q: list[float], k: list[float]) -> tuple[Graph, dict[str, np.ndarray]]:
    """One channel, a score of q * k."""
    steps = 2048 / 11 * 2.0**16
    attrs = {"heads": 1, "m": (round(steps),), "pre_shift": 16, "p_shift": 0}
    op = Op("q_attention", "a", ("q", "k", "k", None), ("y",), attrs)
    after = Op("reshape", "b", ("y",), ("z",), {})
    ints = {n: np.array(x, np.int16)[None, :, None] for n, x in (("q", q), ("k", k))}
    values = {n: Value(n, TensorType(x.shape[1:], "int16")) for n, x in ints.items()}
    return Graph("g", "int", ("q", "k"), ("z",), (op, after), values), ints


def test_far_below_the_largest_nothing_is_lost() -> None:
    graph, ints = attention([10], [-100, -50, -40, 1, 2])
    assert not list(saturations(graph, ints))


@pytest.mark.parametrize("k", [[20, 30], [-20, -30], [20, 30, 0]])
def test_two_that_tie(k: list[float]) -> None:
    graph, ints = attention([10, 0], k)
    (found,) = saturations(graph, ints)
    assert found.layer == "a" and found.rows == 0.5
    assert (
        found.largest == pytest.approx(10 * max(map(abs, k)), rel=1e-3)
        and found.largest > LARGEST_SCORE
    )
    assert behind(graph, ["a"]) == {"a", "b"}
