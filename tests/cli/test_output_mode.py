"""`--output-mode lines`: a map of classes and scores of a small network, from the file to its numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from mcuformer.cli import invoke
from mcuformer.compile.leaving import whole_outputs
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
seg (float[1,3,16,20] x) => (float[1,5,32,40] map, float[1,4] scores, float[1,8,16,20] features)
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w)
  features = Relu(a)
  b = Conv(features, v)
  map = Resize <mode = "linear"> (b, , s)
  m = GlobalAveragePool(features)
  f = Flatten(m)
  scores = MatMul(f, k)
}"""
Files = dict[str, Path]


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder, rng = tmp_path_factory.mktemp("seg"), np.random.default_rng(4)
    model = onnx.parser.parse_model(TEXT)
    weights = {
        "w": rng.normal(size=(8, 3, 3, 3)) / 5,
        "v": rng.normal(size=(5, 8, 1, 1)) / 3,
        "k": rng.normal(size=(8, 4)) / 3,
        "s": np.array([1, 1, 2, 2]),
    }
    for name, data in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(data.astype(np.float32), name))
    files = {"model": folder / "seg.onnx", "data": folder / "data.npz", "x": folder / "x.npy"}
    onnx.save(model, files["model"])
    data = rng.normal(size=(12, 3, 16, 20)).astype(np.float32)
    np.savez(files["data"], x=data)
    np.save(files["x"], data[3])
    return files


def compiled(files: Files, folder: Path, *more: str) -> dict[str, Any]:
    args = ["compile", str(files["model"]), "--board", "stm32f746", "--optimize", "ram"]
    args += ["--calibration", str(files["data"]), "-o", str(folder), *more]
    assert invoke(args) == 0
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def package(seg: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines") / "package"
    report = compiled(seg, folder, "--output-mode", "lines", "--input-mode", "bands")
    assert report["memory"]["output_mode"] == report["options"]["output_mode"] == "lines"
    assert report["checked"]["equal"] and report["checked"]["sqnr_db"] > 20
    return folder


def test_the_map_takes_no_sram(seg: Files, package: Path, tmp_path: Path) -> None:
    resident = compiled(seg, tmp_path / "package", "--input-mode", "bands", "--emit-only")
    lines = json.loads((package / "report.json").read_text())
    saved = resident["memory"]["arena_bytes"] - lines["memory"]["arena_bytes"]
    assert saved > 5000  # of the 6,400 of the map
    assert resident["memory"]["output_mode"] == "resident"


@pytest.mark.parametrize("emulator", ["host", "unicorn", "qemu"])
def test_run(
    seg: Files, package: Path, tmp_path: Path, emulator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All outputs in the file's order."""
    args = ["run", str(package), "--input", str(seg["x"]), "--emulator", emulator, "--json"]
    capsys.readouterr()
    assert invoke([*args, "--output", str(tmp_path / "y.npz")]) == 0
    document = json.loads(capsys.readouterr().out)
    session = onnxruntime.InferenceSession(str(seg["model"]))
    wanted = session.run(None, {"x": np.load(seg["x"])[None]})
    saved = np.load(tmp_path / "y.npz")
    assert list(saved) == ["map", "scores", "features"]
    for output, y in zip(document["outputs"], wanted, strict=True):
        assert np.shape(output["data_int8"]) == tuple(output["shape"]) == y.shape
        error = saved[output["name"]] - y
        assert np.square(y).sum() > 200 * np.square(error).sum(), output["name"]
    assert emulator == "host" or document["io_instructions"] > 0


def test_validate(seg: Files, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    args = ["validate", str(package), "--data", str(seg["data"]), "--emulator", "unicorn"]
    assert invoke([*args, "--limit", "3", "--per-layer", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bit_exact"]["equal"]
    assert all(o["equal"] and o["sqnr_db"] > 20 for o in document["outputs"])


def test_what_lies_whole_is_said(seg: Files) -> None:
    options = CompileOptions(model=seg["model"], board="stm32f746", output_mode="lines")
    program = plan_model(options, lambda *_: None, needs_data=False).program
    (said,) = whole_outputs(program, options)
    assert (said.severity, said.where) == ("info", "features")
    assert "its 2,560 B lie in SRAM whole before: layer " in said.message


def test_nothing_is_dense(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Scores stay where they are, and a warning says so."""
    args = ["analyze", str(files["model"]), "--board", "stm32f746", "--json"]
    assert invoke([*args, "--output-mode", "lines"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [d["code"] for d in lines["diagnostics"]].count("output-mode") == 1
    assert invoke(args) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == lines["memory"]


def test_the_hint_of_a_model_that_does_not_fit(
    seg: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["analyze", str(seg["model"]), "--board", "stm32f746", "--input-mode", "bands"]
    totals = []
    for mode in ("resident", "lines"):
        words = ["--optimize", "ram", "--output-mode", mode, "--json"]
        assert invoke([*args, *words]) == 0
        totals.append(json.loads(capsys.readouterr().out)["memory"]["sram_total_bytes"])
    limit = ["--ram", str(sum(totals) // 2)]
    assert invoke([*args, *limit]) == 4
    assert "hint: --output-mode lines fits" in capsys.readouterr().err
    assert invoke([*args, *limit, "--output-mode", "lines"]) == 0
