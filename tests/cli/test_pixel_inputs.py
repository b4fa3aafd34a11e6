"""A model that takes bytes, channels last, and normalises them: compile, run, validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcuformer.cli import invoke

SHAPE = (16, 20, 3)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, data.npz, one.npy"""
    rng = np.random.default_rng(0)
    work = tmp_path_factory.mktemp("bytes")
    weights = {
        "m": np.asarray(MEAN), "s": np.asarray(STD), "w": rng.normal(size=(8, 3, 3, 3)) / 5,
        "b": rng.normal(size=8), "u": rng.normal(size=(8, 5)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], "to_float", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "m"], ["d"], "minus_mean"),
        helper.make_node("Div", ["d", "s"], ["n"], "by_std"),
        helper.make_node("Transpose", ["n"], ["t"], "forward", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["c"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["g"], "flat"),
        helper.make_node("MatMul", ["g", "u"], ["y"], "head"),
    ]
    graph = helper.make_graph(
        nodes,
        "bytes",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["?", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), work / "model.onnx")
    levels = rng.integers(0, 128, (24, 1, 1, 3))
    x = (rng.integers(0, 128, (24, *SHAPE)) + levels).astype(np.uint8)
    np.savez(work / "data.npz", x=x)
    np.save(work / "one.npy", x[:1])
    return work


def document(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    assert invoke([*map(str, args), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_compile_run_validate(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    model, data, out = folder / "model.onnx", folder / "data.npz", tmp_path / "out"
    report = document(capsys, "compile", model, "--board", "host", "--calibration", data, "-o", out)
    assert report["checked"]["equal"] and report["checked"]["sqnr_db"] > 35
    (given,) = report["model"]["inputs"]
    assert (given["shape"], given["dtype"]) == ([1, *SHAPE], "uint8")
    assert [layer["op"] for layer in report["layers"]] == ["q_conv2d", "q_mean", "q_linear"]
    found = document(capsys, "validate", out, "--data", data, "--emulator", "host")
    assert found["agreement"]["sqnr_db"] > 35 and found["bit_exact"]["equal"]
    one = document(capsys, "run", out, "--input", folder / "one.npy", "--emulator", "host")
    assert np.size(one["outputs"][0]["data"]) == 5


def test_floats_are_not_what_the_model_takes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["--board", "host", "--calibration", folder / "data.npz", "--no-check", "-o", out]
    assert invoke(list(map(str, ["compile", folder / "model.onnx", *args]))) == 0
    np.save(tmp_path / "floats.npy", np.zeros((1, *SHAPE), np.float32))
    assert invoke(["run", str(out), "--input", str(tmp_path / "floats.npy")]) == 2
