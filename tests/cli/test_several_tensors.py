"""compile, run and validate of a model with two inputs and three outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_model import CLASSES, DIM, STATE, TOKENS, pair_data, pair_model

from mcuformer.cli import invoke
from mcuformer.inputs.dataset import load_dataset
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import codec_of

Files = dict[str, Path]


def compiled(folder: Path, *more: str, unused: bool = False) -> Files:
    files = {
        "model": pair_model(folder / "pair.onnx", unused=unused),
        "data": pair_data(folder / "data.npz"),
        "package": folder / "package",
    }
    if unused:
        arrays = dict(np.load(files["data"]))
        spare = np.linspace(-1, 1, 2 * len(arrays["labels"]), dtype=np.float32).reshape(-1, 2)
        np.savez(files["data"], spare=spare, **arrays)  # type: ignore[arg-type]
    args = ["compile", str(files["model"]), "--board", "stm32f746"]
    args += ["--calibration", str(files["data"]), "-o", str(files["package"]), *more]
    assert invoke(args) == 0
    return files


@pytest.fixture(scope="module", params=["resident", "bands"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp(f"pair-{request.param}")
    return compiled(folder, "--input-mode", request.param)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture
def sample(pair: Files, tmp_path: Path) -> Files:
    """One sample as files, and what the interpreter makes of it."""
    package = open_package(pair["package"])
    codec = codec_of(package)
    one = load_dataset(pair["data"], codec.inputs).take([2])
    image, state = codec.to_float(one)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "state.npy", state)
    np.savez(tmp_path / "both.npz", image=image, the_state=state)
    values = run_int(package.graph, codec.to_int(one))
    np.savez(tmp_path / "expected.npz", **{o.name: values[o.value] for o in package.outputs})
    return {"package": pair["package"], "folder": tmp_path}


def test_the_report_lists_all(pair: Files) -> None:
    model = json.loads((pair["package"] / "report.json").read_text())["model"]
    found = [(t["name"], t["shape"], t["dtype"]) for t in model["inputs"] + model["outputs"]]
    assert found == [
        ("image", [1, 1, 8, 8], "uint8"),
        ("the/state", [1, STATE], "int8"),
        ("tokens", [1, TOKENS, DIM], "int8"),
        ("logits", [1, CLASSES], "int8"),
        ("echo", [1, STATE], "int8"),
    ]
    assert all(t["scale"] is not None for t in model["outputs"])


@pytest.mark.parametrize("emulator", ["host", "unicorn"])
@pytest.mark.parametrize("way", ["npz", "named", "spelt"])
def test_run(sample: Files, way: str, emulator: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sample["folder"]
    given = {
        "npz": ["--input", f"{folder}/both.npz"],
        "named": [
            "--input",
            f"the/state={folder}/state.npy",
            "--input",
            f"image={folder}/image.npy",
        ],
        "spelt": [
            "--input",
            f"image={folder}/image.npy",
            "--input",
            f"the_state={folder}/state.npy",
        ],
    }[way]
    args = ["run", str(sample["package"]), *given, "--emulator", emulator]
    assert invoke([*args, "--output", str(folder / "y.npz"), "--json"]) == 0
    outputs = printed(capsys)["outputs"]
    expected, saved = np.load(folder / "expected.npz"), np.load(folder / "y.npz")
    assert [o["name"] for o in outputs] == ["tokens", "logits", "echo"] == list(saved)
    for output in outputs:
        name, shape = output["name"], output["shape"]
        assert np.array_equal(output["data_int8"], expected[name].reshape(shape))
        assert np.allclose(saved[name], output["data"]) and saved[name].dtype == np.float32
    state = np.load(folder / "state.npy")
    assert np.allclose(saved["echo"], state, atol=np.abs(state).max() / 20)


def test_run_as_text(sample: Files, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["run", str(sample["package"]), "--input", f"{sample['folder']}/both.npz"]
    assert invoke([*args, "--emulator", "host"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name} [1x" in text for name in ("tokens", "logits", "echo"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["image={}/image.npy"], "input the/state is missing"),
        (["image={}/image.npy", "image={}/image.npy"], "given twice"),
        (["{}/image.npy"], "has no array image (or x0), but one array without a name"),
        (["{}/image.npy", "the_state={}/state.npy"], "no input of that name"),
        (["image={}/both.npz", "the_state={}/state.npy"], "no .npy of one array"),
    ],
)
def test_wrong_inputs(
    sample: Files, given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["run", str(sample["package"])]
    for text in given:
        args += ["--input", text.format(sample["folder"])]
    assert invoke(args) == 2
    assert message in capsys.readouterr().err


def test_one_array_cannot_hold_three_outputs(
    sample: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sample["folder"]
    args = ["run", str(sample["package"]), "--input", f"{folder}/both.npz"]
    assert invoke([*args, "--output", f"{folder}/y.npy"]) == 2
    assert "the model has 3 outputs" in capsys.readouterr().err


@pytest.mark.parametrize("emulator", ["host", "unicorn"])
def test_validate(pair: Files, emulator: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["validate", str(pair["package"]), "--data", str(pair["data"]), "--emulator", emulator]
    assert invoke([*args, "--per-layer", "--json"]) == 0
    document = printed(capsys)
    assert document["bit_exact"] == {"samples": 12, "equal": True, "differing": []}
    assert [o["name"] for o in document["outputs"]] == ["tokens", "logits", "echo"]
    assert all(o["equal"] and o["sqnr_db"] > 20 for o in document["outputs"])
    found = document["agreement"]
    for key, worst in (("sqnr_db", min), ("cosine", min), ("rmse", max)):
        assert found[key] == worst(o[key] for o in document["outputs"])
    assert document["accuracy"]["output"] == "logits"
    assert document["accuracy"]["percent"] is not None
    assert all(row["equal"] in (True, None) for row in document["layers"])


def test_validate_as_text(pair: Files, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["validate", str(pair["package"]), "--data", str(pair["data"]), "--emulator", "host"]
    assert invoke(args) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name} " in text for name in ("tokens", "logits", "echo"))


def test_an_input_that_nothing_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has its place, its bytes are taken, and the report says that it is in vain."""
    files = compiled(tmp_path, "--emit-only", unused=True)
    report = json.loads((files["package"] / "report.json").read_text())
    assert [t["name"] for t in report["model"]["inputs"]] == ["image", "the/state", "spare"]
    (said,) = [d for d in report["diagnostics"] if d["code"] == "unused-input"]
    assert said["where"] == "spare" and said["severity"] == "warning"
    capsys.readouterr()
    args = ["validate", str(files["package"]), "--data", str(files["data"]), "--emulator", "host"]
    assert invoke([*args, "--json"]) == 0
    assert printed(capsys)["bit_exact"]["equal"]
