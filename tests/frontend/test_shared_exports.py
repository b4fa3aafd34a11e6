"""The full-size exports that lie beside a checkout (../shared/models), where they do."""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import zoo

from mcuformer.frontend import load_model
from mcuformer.ir.interp_float import onnx_outputs, run_float

SHARED = Path(__file__).parents[3] / "shared" / "models"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no shared models beside the checkout"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exports")
    with tarfile.open(SHARED / "exports.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return sorted([*folder.rglob("*.onnx"), *SHARED.glob("*.onnx")])


def test_equal_onnxruntime_and_load_fast(models: list[Path]) -> None:
    assert len(models) >= 11
    for path in models:
        start = time.perf_counter()
        graph = load_model(path)
        assert time.perf_counter() - start < 10, path.name
        x = (
            np.random.default_rng(0)
            .standard_normal(graph.meta["input_shapes"][0])
            .astype(np.float32)
        )
        (ours,) = onnx_outputs(graph, run_float(graph, x))
        (reference,) = zoo.onnxruntime_outputs(str(path), x)
        assert zoo.relative(ours, reference) < 1e-4, path.name
