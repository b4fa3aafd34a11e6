"""Weights and data far from any trained network's: a right result or one message, no numpy warning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_vit import tiny_data, tiny_vit
from util_long import few

from mcuformer.cli import invoke

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
WEIGHTS = (
    "patch.weight",
    "pos",
    "norm1.weight",
    "qkv.weight",
    "scale",
    "fc1.bias",
    "logits.weight",
)


def altered(path: Path, name: str, value: float, how: str) -> Path:
    """`all` numbers of an initializer are value or -value, or `one` of them is."""
    model = onnx.load(tiny_vit(path))
    (found,) = (i for i in model.graph.initializer if i.name == name)
    array = numpy_helper.to_array(found).copy()
    if how == "all":
        array = np.where(array < 0, -np.float32(value), np.float32(value)).astype(np.float32)
    else:
        array.reshape(-1)[0] = value
    found.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return path


def compiled(model: Path, data: Path, *words: str) -> int:
    where = ["--board", "stm32f746", "--calibration", str(data), "-o", str(model.parent / "out")]
    return invoke(["compile", str(model), *where, "--emit-only", *words])


@pytest.mark.parametrize("how", ["all", "one"])
@pytest.mark.parametrize("value", few([1e30, 3e38, 1e15, 1e-30, 1e-40], 3e38, 1e-40))
@pytest.mark.parametrize("name", WEIGHTS)
def test_extreme_weights(
    tmp_path: Path, name: str, value: float, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = altered(tmp_path / "m.onnx", name, value, how)
    code = compiled(model, tiny_data(tmp_path / "d.npz"), "--accept-sqnr", "-100")
    said = capsys.readouterr().err
    assert code in (0, 2, 3), said
    assert code == 0 or (said.count("error: ") == 1 and "hint: " in said), said


@pytest.mark.parametrize(
    ("name", "value"), [("pos", 1e-40), ("qkv.weight", 1e-30), ("fc1.bias", 1e15)]
)
def test_what_compiles_gives_equal_bits(
    tmp_path: Path, name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    model = altered(tmp_path / "m.onnx", name, value, "all")
    data = tiny_data(tmp_path / "d.npz")
    assert compiled(model, data, "--accept-sqnr", "-100") == 0
    capsys.readouterr()
    words = ["validate", str(tmp_path / "out"), "--data", str(data), "--emulator", "host", "--json"]
    assert invoke(words) == 0
    assert json.loads(capsys.readouterr().out)["bit_exact"]["equal"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", few([1e-310, 1e-40, 1e-30, 1e30, 3e38], 1e-310, 3e38))
@pytest.mark.parametrize("how", ["all", "one"])
def test_extreme_calibration_data(
    tmp_path: Path, how: str, value: float, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(8, 1, 8, 8))
    if how == "all":
        with np.errstate(over="ignore"):
            x = (x * value).astype(dtype)
    else:
        x[0, 0, 0, 0] = value
    np.savez(tmp_path / "d.npz", x=x.astype(dtype))
    code = compiled(tiny_vit(tmp_path / "m.onnx"), tmp_path / "d.npz", "--accept-sqnr", "-100")
    said = capsys.readouterr().err
    zeros = how == "all" and value == 1e-310  # in float32
    assert code == (2 if value > 1 or zeros else 0), said
    assert code == 0 or (said.count("error: ") == 1 and "hint: " in said), said
