"""Exports that onnxslim, or onnxruntime at its basic level, has saved again: the graph stays the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import zoo

from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

NAMES = [name for name in zoo.PLAIN if not name.startswith("vit_cls.")]


def same(before: Graph, path: Path, name: str) -> None:
    after = load_model(path, {"x": zoo.shape(name)})
    layers = ("linear", "attention", "layernorm", "conv2d", "unary")
    found, wanted = (Counter(op.kind for op in g.ops) for g in (after, before))
    assert [found[k] for k in layers] == [wanted[k] for k in layers]
    x = zoo.zoo_input(zoo.shape(name))
    pairs = zip(*(onnx_outputs(g, run_float(g, x)) for g in (after, before)), strict=True)
    assert all(zoo.relative(a, b) < 1e-5 for a, b in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_by_onnxslim(tmp_path: Path, name: str) -> None:
    onnxslim = pytest.importorskip("onnxslim")
    path = tmp_path / "slim.onnx"
    onnx.save(onnxslim.slim(onnx.load(zoo.path(name))), path)
    same(load_model(zoo.path(name), {"x": zoo.shape(name)}), path, name)


@pytest.mark.parametrize("name", NAMES)
def test_by_onnxruntime(tmp_path: Path, name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "basic.onnx")
    ort.InferenceSession(str(zoo.path(name)), options, providers=["CPUExecutionProvider"])
    same(load_model(zoo.path(name), {"x": zoo.shape(name)}), tmp_path / "basic.onnx", name)
